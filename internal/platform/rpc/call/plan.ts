import {
  create,
  getOption,
  hasOption,
  ScalarType,
  type DescField,
  type DescMethod,
  type DescService,
  type Message,
} from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { createMethodUrl } from "@connectrpc/connect/protocol";
import { policy as policyOption, type Policy } from "../../../gen/muin/platform/v1/options_pb.ts";
import type { ErrorTable } from "../../errors/define-errors.ts";
import { MuinError } from "../../errors/muin-error.ts";
import type { Codec } from "../../service/codec.ts";
import type { Served } from "../../service/parts.ts";
import { createJsonRegistry } from "./json-registry.ts";
import { compileTextCheck, type TextCheck } from "./text.ts";
import { createValidate, type Validate } from "./validate.ts";

/** A request, or the stream of them; the method's kind says which. */
export type Input = Message | AsyncIterable<Message>;

/** A reply, or the stream of them; the method's kind says which. */
export type Output = Message | Promise<Message> | AsyncIterable<Message>;

/** A handler of any kind of method, its types erased. */
export type Handler = (input: Input, context: HandlerContext) => Output;

/** An RPC service, with what its runtime knows of it. */
export interface RunningService extends Served {
  /** Name of the service that implements it, for errors. Default: the RPC service's. */
  readonly owner?: string;
  /** What its callers may see, beside the platform's errors. */
  readonly errors?: ErrorTable | undefined;
  /** Whether it may be called. A call before that is UNAVAILABLE with reason SERVICE_STARTING. Default: always. */
  readonly isUp?: () => boolean;
  /** Whether its handlers call other services, which then inherit deadline and cancellation (`servedCall`). Default: no. */
  readonly callsOthers?: boolean;
}

/** A method with its policy, its validation and its handler: found once per process, for every lane and caller. */
export interface MethodPlan {
  readonly method: DescMethod;
  /** Request path: `/<service>/<method>`. */
  readonly path: string;
  /** Who may call; `undefined` refuses everybody. */
  readonly policy: Policy | undefined;
  /** Names of the services that may call; `undefined` for protos of others, which whoever the policy admits may call. */
  readonly services: ReadonlySet<string> | undefined;
  /** Whether it has a fast path. */
  readonly hot: boolean;
  /** Its own, for its fast path. */
  readonly codec: Codec | undefined;
  readonly validate: Validate;
  /** A part of `validate`, for a lane that cannot even copy a message of which it fails. */
  readonly checkText: TextCheck;
  /** Whether the request has a field `request_id`, which the header Idempotency-Key fills. */
  readonly hasRequestId: boolean;
  /** As in `RunningService`. */
  readonly owner: string;
  readonly errors: ErrorTable | undefined;
  readonly isUp: () => boolean;
  readonly callsOthers: boolean;
  /** The implementation as it was declared. */
  readonly handler: Handler;
}

/** The methods that a process serves, by path. */
export type MethodPlans = ReadonlyMap<string, MethodPlan>;

/**
 * Plans every method of `services`, by path, into `plans`. Refuses two services of one name, a hot method that is
 * not unary, and a codec of a method that is not hot.
 * `policy` holds for protos of others, which carry none; `serviceCallers` names the services that may call a method (default: none).
 */
export function planMethods(
  services: readonly RunningService[],
  {
    plans = new Map(),
    policy,
    serviceCallers = () => new Set(),
  }: {
    readonly plans?: Map<string, MethodPlan>;
    readonly policy?: Policy;
    readonly serviceCallers?: (method: DescMethod) => ReadonlySet<string>;
  } = {},
): MethodPlans {
  const registry = createJsonRegistry(services.map(({ service }) => service));
  for (const running of services) {
    for (const method of running.service.methods) {
      const path = createMethodUrl("/", method);
      if (plans.has(path)) throw new Error(`${running.service.typeName} is served twice`);
      const admitted =
        policy === undefined
          ? { policy: policyOf(method), services: serviceCallers(method) }
          : { policy, services: undefined };
      const plan = planMethod(running, method, path, admitted, compileTextCheck(method.input, registry));
      plans.set(path, plan);
      warm(plan.validate, create(method.input));
    }
  }
  return plans;
}

/** The RPC services of the methods, in their order. */
export function servicesOf(plans: MethodPlans): readonly DescService[] {
  return [...new Set([...plans.values()].map(({ method }) => method.parent))];
}

function planMethod(
  {
    service,
    impl,
    hot,
    codecs = [],
    owner = service.typeName,
    errors,
    isUp = always,
    callsOthers = false,
  }: RunningService,
  method: DescMethod,
  path: string,
  { policy, services }: Pick<MethodPlan, "policy" | "services">,
  checkText: TextCheck,
): MethodPlan {
  const isHot = hot.includes(method);
  if (isHot && method.methodKind !== "unary") {
    throw new Error(`${service.typeName}.${method.name} streams: it cannot be hot`);
  }
  const codec = codecs.find((each) => each.method === method);
  if (codec !== undefined && !isHot) throw new Error(`${service.typeName}.${method.name} has a codec and is not hot`);
  const implementation = (impl as Readonly<Record<string, Handler>>)[method.localName];
  if (implementation === undefined) throw new Error(`${service.typeName}.${method.name} has no implementation`);
  return {
    method,
    path,
    policy,
    services,
    hot: isHot,
    codec,
    validate: createValidate(method.input, checkText, isHot),
    checkText,
    hasRequestId: method.input.fields.some(isRequestId),
    owner,
    errors,
    isUp,
    callsOthers,
    handler: implementation.bind(impl),
  };
}

function policyOf(method: DescMethod): Policy | undefined {
  return hasOption(method, policyOption) ? getOption(method, policyOption) : undefined;
}

const always = (): boolean => true;

function isRequestId(field: DescField): boolean {
  return field.name === "request_id" && field.fieldKind === "scalar" && field.scalar === ScalarType.STRING;
}

/** The first validation of a message type plans its rules, which takes milliseconds: not in a call. */
function warm(validate: Validate, message: Message): void {
  try {
    validate(message);
  } catch (error) {
    if (!(error instanceof MuinError)) throw error; // An empty message may well be invalid: only the planning matters here.
  }
}
