import type { Message } from "@bufbuild/protobuf";
import type { ConnectError, HandlerContext } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import type { MuinError } from "../../errors/muin-error.ts";
import type { CallObserver } from "../../telemetry/call-observer.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { accept, acceptEach } from "./accept-request.ts";
import { createAdmission, type Admission, type AdmissionDeps } from "./admission.ts";
import { Call, type CallOrigin, type NamedTimeout } from "./call.ts";
import { createAwaitedBodies } from "./awaited-bodies.ts";
import { createDeadlines } from "./deadlines.ts";
import { callErrors } from "./errors.ts";
import type { RpcLimits } from "./limits.ts";
import type { MappedError } from "./map-error.ts";
import { createPlaces } from "./places.ts";
import type { Input, MethodPlan, Output } from "./plan.ts";
import { raceIterable } from "./race.ts";
import { runServed } from "./served-call.ts";

/**
 * The life of a call, the same in every lane and for every kind of method: begin, admit (deadline, identity, policy, room; before
 * the body is read), prove (where it must be signed), invoke (the call takes its place, each request is accepted, then the handler
 * runs), fail if anything threw, end.
 */
export interface CallLife extends Admission {
  /**
   * Begins a call. Its deadline is the one named or, of a unary call, the default; where anybody may call, it is near whatever was
   * named. A stop waits for `counted` calls. Never
   * throws; whoever begins a call ends it.
   */
  begin(plan: MethodPlan, origin: CallOrigin, named: NamedTimeout, counted: boolean): Call;
  /**
   * Takes the call's place and runs the handler, in the call's span. Each request is accepted first: refused when it must be signed and was not proven, given
   * the header Idempotency-Key, validated. Replies that stream end when the call is cut short, and their errors are mapped.
   */
  invoke(call: Call, input: Input, context: HandlerContext): Output;
  /**
   * Settles as `work` does, a part of the call, or as soon as the call is cut short, however long `work` goes on. `refuse` makes
   * the result of a failure, which is mapped.
   */
  settle<R>(call: Call, work: () => Promise<R>, refuse: (failure: ConnectError) => R | Promise<R>): Promise<R>;
  /** Maps what was thrown to what the caller sees, logs what the caller is not told, and remembers the outcome. */
  fail(call: Call, thrown: unknown): ConnectError;
  /** Gives an error outside of any call its reason. */
  describe(error: ConnectError | MuinError): ConnectError;
  /** Ends the call. Idempotent. */
  end(call: Call): void;
  /** Counted calls under way. */
  inFlight(): number;
  /** Cuts short all calls that stream, and those whose request is still awaited. */
  cutStreams(reason: ConnectError): void;
  /** Cuts short all calls. */
  cutAll(reason: ConnectError): void;
}

/** What calls of a process share. */
export interface CallLifeDeps extends Omit<AdmissionDeps, "places" | "bodies"> {
  readonly limits: RpcLimits;
  readonly observer: CallObserver;
}

/** Creates the life of a process's calls. */
export function createCallLife(deps: CallLifeDeps): CallLife {
  const { observer, errors, limits } = deps;
  const deadlines = createDeadlines(deps.clock, limits.timeoutMsDefault);
  const streams = new AbortController();
  const places = createPlaces(limits, deps.clock);
  const bodies = createAwaitedBodies(limits, deps.clock, errors);
  const admission = createAdmission({ ...deps, places, bodies });
  let inFlight = 0;

  const fail = (call: Call, thrown: unknown): ConnectError => remember(call, errors.map(thrown), deps.log);

  const begin: CallLife["begin"] = (plan, origin, named, counted) => {
    const { method } = plan;
    if (counted) inFlight += 1;
    const span = observer.begin({
      service: method.parent.typeName,
      method: method.name,
      protocol: origin.protocol,
      traceparent: origin.header.get("traceparent") ?? undefined,
    });
    const call = new Call(plan, origin, span, counted, named.error);
    const ms = timeoutMsOf(plan, named, limits);
    if (ms !== undefined) call.deadline = deadlines.add(ms, (reason) => call.cut(reason));
    if (method.methodKind !== "unary") call.follow(streams.signal);
    return call;
  };

  const invoke: CallLife["invoke"] = (call, input, context) => {
    bodies.release(call);
    places.enter(call);
    const { method } = call.plan;
    const isOne = method.methodKind === "unary" || method.methodKind === "server_streaming";
    if (isOne) accept(call, input as Message);
    const output = run(call, isOne ? input : acceptEach(call, input as AsyncIterable<Message>), context);
    if (method.methodKind === "unary" || method.methodKind === "client_streaming") return output;
    return raceIterable(output as AsyncIterable<Message>, call.signal, {
      release: true,
      within: (work) => call.span.run(work),
      mapError: (error) => call.failure ?? fail(call, error),
    });
  };

  const end: CallLife["end"] = (call) => {
    if (call.isOver) return;
    call.close();
    bodies.release(call);
    places.leave(call);
    if (call.counted) inFlight -= 1;
    call.span.end(call.failure === undefined ? "ok" : codeToString(call.failure.code));
  };

  return {
    begin,
    ...admission,
    invoke,
    settle: createSettle(fail),
    fail,
    describe: (error) => errors.map(error).error,
    end,
    inFlight: () => inFlight,
    cutStreams: (reason) => {
      streams.abort(reason);
      bodies.cutAll(reason);
    },
    cutAll: (reason) => {
      streams.abort(reason);
      bodies.cutAll(reason);
      deadlines.expireAll(reason);
    },
  };
}

/** How long a call may take; `undefined` for a stream whose caller names no deadline. */
function timeoutMsOf({ method, policy }: MethodPlan, named: NamedTimeout, limits: RpcLimits): number | undefined {
  const timeoutMs = named.error === undefined ? named.timeoutMs : undefined;
  if (method.methodKind !== "unary") return timeoutMs;
  const ms = timeoutMs ?? limits.timeoutMsDefault;
  return policy?.public === true ? Math.min(ms, limits.publicTimeoutMsMax) : ms;
}

/** Settles parts of calls; `fail` maps what they throw. */
function createSettle(fail: CallLife["fail"]): CallLife["settle"] {
  return (call, work, refuse) =>
    new Promise((resolve) => {
      const onCut = (reason: ConnectError): void => resolve(refuse(fail(call, reason)));
      if (call.cutReason !== undefined) return onCut(call.cutReason);
      call.onCut = onCut;
      const attend = async (): Promise<void> => {
        try {
          const result = await work();
          call.onCut = undefined;
          resolve(result);
        } catch (thrown) {
          if (call.cutReason !== undefined) return; // Settled with that.
          call.onCut = undefined;
          resolve(refuse(fail(call, thrown)));
        }
      };
      void attend(); // Catches all that `work` throws.
    });
}

/** Remembers how a call failed. The log gets what its caller is not told. */
function remember(call: Call, { error, hidden }: MappedError, log: Logger): ConnectError {
  call.failure = error;
  if (hidden !== undefined) {
    call.span.run(() =>
      log.error("call failed", {
        rpc_service: call.plan.method.parent.typeName,
        rpc_method: call.plan.method.name,
        code: codeToString(error.code),
        err: hidden,
      }),
    );
  }
  return error;
}

function run(call: Call, input: Input, context: HandlerContext): Output {
  const { plan } = call;
  if (!plan.isUp()) throw callErrors.serviceStarting({ message: `${plan.owner} is starting: try again in a moment` });
  return call.span.run(() =>
    plan.callsOthers ? runServed(context, () => plan.handler(input, context)) : plan.handler(input, context),
  );
}
