import {
  create,
  getOption,
  hasOption,
  ScalarType,
  type DescField,
  type DescMethod,
  type Message,
} from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { createMethodUrl } from "@connectrpc/connect/protocol";
import { policy as policyOption, type Policy } from "../../../gen/muin/platform/v1/options_pb.ts";
import type { Served } from "../../service/parts.ts";
import { MuinError } from "../../errors/muin-error.ts";
import { createValidate, type Validate } from "./validate.ts";

/** A unary handler, its types erased. */
export type UnaryHandler = (request: Message, context: HandlerContext) => Promise<Message> | Message;
/** A handler whose reply is a stream, its types erased. */
export type StreamHandler = (
  request: Message | AsyncIterable<Message>,
  context: HandlerContext,
) => AsyncIterable<Message>;
/** A handler whose request is a stream and whose reply is one message, its types erased. */
export type CollectHandler = (requests: AsyncIterable<Message>, context: HandlerContext) => Promise<Message>;

/** A handler of any kind; the method's kind says which. */
export type AnyHandler = (request: never, context: HandlerContext) => unknown;

/** All that the lanes need to know of a method, found once. */
export interface MethodPlan {
  readonly method: DescMethod;
  /** Request path: `/<service>/<method>`. */
  readonly path: string;
  /** Who may call; `undefined` refuses everybody. */
  readonly policy: Policy | undefined;
  /** Whether the fast lane serves it. */
  readonly hot: boolean;
  readonly validate: Validate;
  /** Whether the request has a field `request_id`, which the header Idempotency-Key fills. */
  readonly hasRequestId: boolean;
  /** The implementation as it was declared. */
  readonly handler: AnyHandler;
}

/**
 * Plans every method of `served`, by path. Refuses two services of one name, and a hot method that is not unary. `policy` holds
 * for protos of others, which carry none.
 */
export function planMethods(served: readonly Served[], policy?: Policy): ReadonlyMap<string, MethodPlan> {
  const plans = new Map<string, MethodPlan>();
  for (const { service, impl, hot } of served) {
    for (const method of service.methods) {
      const path = createMethodUrl("/", method);
      if (plans.has(path)) throw new Error(`${service.typeName} is served twice`);
      const isHot = hot.includes(method);
      if (isHot && method.methodKind !== "unary") {
        throw new Error(`${service.typeName}.${method.name} streams: it cannot be hot`);
      }
      const implementation = (impl as Readonly<Record<string, AnyHandler>>)[method.localName];
      if (implementation === undefined) throw new Error(`${service.typeName}.${method.name} has no implementation`);
      const validate = createValidate(method.input, isHot);
      plans.set(path, {
        method,
        path,
        policy: policy ?? (hasOption(method, policyOption) ? getOption(method, policyOption) : undefined),
        hot: isHot,
        validate,
        hasRequestId: method.input.fields.some(isRequestId),
        handler: implementation.bind(impl),
      });
      warm(validate, create(method.input));
    }
  }
  return plans;
}

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
