import type { Message } from "@bufbuild/protobuf";
import { ConnectError, createContextKey } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import type { Clock } from "../../clock/clock.ts";
import { MuinError } from "../../errors/muin-error.ts";
import type { Authenticator } from "../../identity/authenticator.ts";
import {
  createSignatureReader,
  notSignable,
  signatureMissing,
  type CallSignature,
} from "../../identity/call-signature.ts";
import { anonymous, type Caller } from "../../identity/caller.ts";
import { signatureHeader } from "../../identity/signed-call.ts";
import type { CallObserver, CallSpan } from "../../telemetry/call-observer.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { authorize } from "./authorize.ts";
import { createDeadlines, type Deadline, type Deadlines } from "./deadlines.ts";
import type { RpcLimits } from "./limits.ts";
import type { ErrorMapper } from "./map-error.ts";
import type { MethodPlan } from "./plan.ts";

/** A call under way. */
export interface Call {
  readonly plan: MethodPlan;
  readonly span: CallSpan;
  /** Whether it counts against the calls in flight. */
  readonly counted: boolean;
  /** Set by `admit`. */
  caller: Caller;
  /** Set by `prove`. */
  signature: CallSignature | undefined;
  /** Set by a lane that watches a deadline. */
  deadline: Deadline | undefined;
  /** Set by `fail`. */
  failure: ConnectError | undefined;
  ended: boolean;
}

/** Carries the call in a handler's context. */
export const callKey: ReturnType<typeof createContextKey<Call | undefined>> = createContextKey<Call | undefined>(
  undefined,
  { description: "muin call" },
);

/**
 * What happens to a call, the same in every lane: begin, admit (load, identity, policy; before the body is read), accept (the
 * parsed request), the handler, fail if anything threw, end.
 */
export interface Steps {
  readonly deadlines: Deadlines;
  /** Begins a call. `counted` calls are limited in number. Never throws; whoever begins a call ends it. */
  begin(plan: MethodPlan, protocol: string, traceparent: string | null, counted: boolean): Call;
  /** Throws unless there is room and the caller may call. Synchronous when identity is known at once. */
  admit(call: Call, authorization: string | null): void | Promise<void>;
  /**
   * Watches until `signal` is aborted that the caller of a stream may still have it; `onRefused` is called once when not: a key
   * was revoked, a session ended, a token is past its time. While that cannot be told, the stream goes on.
   */
  watch(call: Call, authorization: string, signal: AbortSignal, onRefused: (reason: ConnectError) => void): void;
  /** Whether the admitted call must be signed: a device's, or one of a method that takes signed calls only. */
  mustBeSigned(call: Call): boolean;
  /**
   * Reads the signature of a call that must be signed, and proves it where the caller is known: a device. `body` is the request
   * message as it was sent. Between `admit` and `accept`.
   */
  prove(call: Call, header: Headers, body: Uint8Array): void;
  /** Refuses a call that must be signed and was not proven. Applies the header Idempotency-Key to the request and validates it. */
  accept(call: Call, request: Message, idempotencyKey: string | null): void;
  /** Maps what was thrown to what the caller sees, logs what the caller is not told, and remembers the outcome. */
  fail(call: Call, thrown: unknown): ConnectError;
  /** The same for an error that the protocol library made itself. */
  failProtocol(call: Call, error: ConnectError): ConnectError;
  /** Gives an error outside of any call its reason. */
  describe(error: ConnectError): ConnectError;
  /** Ends the call. Idempotent. */
  end(call: Call): void;
  /** Calls under way. */
  inFlight(): number;
}

/** What the steps need. */
export interface StepsDeps {
  readonly authenticator: Pick<Authenticator, "authenticate">;
  readonly observer: CallObserver;
  readonly errors: ErrorMapper;
  readonly limits: RpcLimits;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How often `watch` asks, in milliseconds: a revocation, which reaches the process sooner, ends a stream within a second. */
const watchPeriodMs = 250;

/** Creates the steps. */
export function createSteps(deps: StepsDeps): Steps {
  const { authenticator, observer, errors, limits, clock, log } = deps;
  const signatures = createSignatureReader(clock);
  let inFlight = 0;
  const remember = (call: Call, mapped: ReturnType<ErrorMapper["map"]>): ConnectError => {
    call.failure = mapped.error;
    if (mapped.hidden !== undefined) {
      call.span.run(() =>
        log.error("call failed", {
          rpc_service: call.plan.method.parent.typeName,
          rpc_method: call.plan.method.name,
          code: codeToString(mapped.error.code),
          err: mapped.hidden,
        }),
      );
    }
    return mapped.error;
  };
  return {
    deadlines: createDeadlines(clock, limits.timeoutMsDefault),
    begin: (plan, protocol, traceparent, counted) => {
      if (counted) inFlight += 1;
      const span = observer.begin({
        service: plan.method.parent.typeName,
        method: plan.method.name,
        protocol,
        traceparent: traceparent ?? undefined,
      });
      return {
        plan,
        span,
        counted,
        caller: anonymous,
        signature: undefined,
        deadline: undefined,
        failure: undefined,
        ended: false,
      };
    },
    admit: (call, authorization) => {
      if (call.counted && inFlight > limits.callsInFlightMax) {
        throw new MuinError({
          code: "resource_exhausted",
          reason: "TOO_MANY_CALLS",
          message: "the server has as many calls in flight as it takes; try again shortly",
          retryAfterMs: limits.overloadRetryAfterMs,
        });
      }
      const admitted = (caller: Caller): void => {
        call.caller = caller;
        authorize(call.plan.policy, caller);
        if (call.plan.method.methodKind !== "unary" && mustBeSigned(call)) throw notSignable("a stream");
      };
      if (authorization === null) return admitted(anonymous);
      // With tracing off no closure is made: nearly every caller is known at once.
      const caller =
        call.span.traceparent === undefined
          ? authenticator.authenticate(authorization)
          : call.span.run(() => authenticator.authenticate(authorization));
      return caller instanceof Promise ? caller.then(admitted) : admitted(caller);
    },
    watch: (call, authorization, signal, onRefused) => {
      const ask = async (): Promise<void> => {
        for (;;) {
          await clock.sleep(watchPeriodMs, signal);
          try {
            authorize(call.plan.policy, await authenticator.authenticate(authorization));
          } catch (error) {
            if (!(error instanceof MuinError)) throw error;
            if (error.code !== "unauthenticated" && error.code !== "permission_denied") continue;
            if (!signal.aborted) onRefused(errors.map(error).error);
            return;
          }
        }
      };
      ask().catch((error: unknown) => {
        if (!signal.aborted) log.error("a stream is no longer watched", { err: error });
      });
    },
    mustBeSigned,
    prove: (call, header, body) => {
      if (header.has("idempotency-key")) throw notSignable("the header Idempotency-Key");
      const signature = signatures.read(header.get(signatureHeader), call.plan.path, body);
      if (call.caller.kind === "device") signature.prove(call.caller.key);
      call.signature = signature;
    },
    accept: (call, request, idempotencyKey) => {
      if (call.signature === undefined && mustBeSigned(call)) throw signatureMissing();
      if (idempotencyKey !== null) applyIdempotencyKey(call.plan, request, idempotencyKey);
      call.plan.validate(request);
    },
    fail: (call, thrown) => remember(call, errors.map(thrown)),
    failProtocol: (call, error) => remember(call, errors.mapProtocol(error)),
    describe: (error) => errors.map(error).error,
    end: (call) => {
      if (call.ended) return;
      call.ended = true;
      if (call.counted) inFlight -= 1;
      call.span.end(call.failure === undefined ? "ok" : codeToString(call.failure.code));
    },
    inFlight: () => inFlight,
  };
}

function mustBeSigned({ caller, plan }: Call): boolean {
  return caller.kind === "device" || plan.policy?.signed === true;
}

/** The error of a call whose deadline is malformed or longer than allowed. */
export function timeoutError(error: ConnectError): MuinError {
  return new MuinError({ code: "invalid_argument", reason: "TIMEOUT_INVALID", message: error.rawMessage });
}

function applyIdempotencyKey(plan: MethodPlan, request: Message, idempotencyKey: string): void {
  if (!plan.hasRequestId) {
    throw new MuinError({
      code: "invalid_argument",
      reason: "IDEMPOTENCY_KEY_UNSUPPORTED",
      message: "this method has no request_id, so the header Idempotency-Key has no meaning here",
    });
  }
  const target = request as Message & { requestId: string };
  if (target.requestId === "") {
    target.requestId = idempotencyKey;
  } else if (target.requestId !== idempotencyKey) {
    throw new MuinError({
      code: "invalid_argument",
      reason: "IDEMPOTENCY_KEY_DIFFERS",
      message: "the header Idempotency-Key and the field request_id must be the same, or one of them absent",
      violations: [{ field: "request_id", description: "must equal the header Idempotency-Key" }],
    });
  }
}
