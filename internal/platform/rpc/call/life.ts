import { create, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import type { Clock } from "../../clock/clock.ts";
import { MuinError } from "../../errors/muin-error.ts";
import type { Authenticator } from "../../identity/authenticator.ts";
import { createSignatureReader, notSignable, signatureMissing } from "../../identity/call-signature.ts";
import { anonymous, type Caller } from "../../identity/caller.ts";
import { signatureHeader } from "../../identity/signed-call.ts";
import type { CallObserver } from "../../telemetry/call-observer.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { authorize } from "./authorize.ts";
import { Call, type CallOrigin, type NamedTimeout } from "./call.ts";
import { createDeadlines } from "./deadlines.ts";
import { callErrors } from "./errors.ts";
import type { RpcLimits } from "./limits.ts";
import { ProtocolFailure, type ErrorMapper, type MappedError } from "./map-error.ts";
import type { Input, MethodPlan, Output } from "./plan.ts";
import { raceIterable } from "./race.ts";
import { runServed } from "./served-call.ts";

/** How a lane of our own reads a request and answers it. */
export interface Exchange<R> {
  /**
   * Reads and parses the request. `prove` is given for a call that must be signed: it takes the message as it was sent, before
   * parsing. What the protocol refuses is thrown as `ProtocolFailure`.
   */
  read(prove: ((body: Uint8Array) => void) | undefined): Promise<Message> | Message;
  /** The answer to a reply; what it throws is the handler's fault. */
  write(reply: Message): R;
  /** The answer to an error that was mapped. */
  refuse(error: ConnectError): R | Promise<R>;
}

/**
 * The life of a call, the same in every lane and for every kind of method: begin, admit (deadline, load, identity, policy; before
 * the body is read), prove (where it must be signed), invoke (each request is accepted, then the handler runs), fail if anything
 * threw, end. `answer` is all of it in one.
 */
export interface CallLife {
  /**
   * Begins a call. Its deadline is the one named or, of a unary call, the default. `counted` calls are limited in number. Never
   * throws; whoever begins a call ends it.
   */
  begin(plan: MethodPlan, origin: CallOrigin, named: NamedTimeout, counted: boolean): Call;
  /**
   * Throws unless the deadline is a good one, there is room and the caller may call. Synchronous when identity is known at once. A
   * stream is watched from then on: it is cut short when its caller may no longer have it.
   */
  admit(call: Call): void | Promise<void>;
  /** Whether the admitted call must be signed: a device's, or one of a method that takes signed calls only. */
  mustBeSigned(call: Call): boolean;
  /**
   * Reads the signature of a call that must be signed, and proves it where the caller is known: a device. `body` is the request
   * message as it was sent. Between `admit` and `invoke`.
   */
  prove(call: Call, body: Uint8Array): void;
  /**
   * Runs the handler, in the call's span. Each request is accepted first: refused when it must be signed and was not proven, given
   * the header Idempotency-Key, validated. Replies that stream end when the call is cut short, and their errors are mapped.
   */
  invoke(call: Call, input: Input, context: HandlerContext): Output;
  /**
   * Settles as `work` does, a part of the call, or as soon as the call is cut short, however long `work` goes on. `refuse` makes
   * the result of a failure, which is mapped.
   */
  settle<R>(call: Call, work: () => Promise<R>, refuse: (failure: ConnectError) => R | Promise<R>): Promise<R>;
  /** Runs a unary call from its admission to its end. */
  answer<R>(call: Call, context: HandlerContext, exchange: Exchange<R>): Promise<R>;
  /** Maps what was thrown to what the caller sees, logs what the caller is not told, and remembers the outcome. */
  fail(call: Call, thrown: unknown): ConnectError;
  /** Gives an error outside of any call its reason. */
  describe(error: ConnectError): ConnectError;
  /** Ends the call. Idempotent. */
  end(call: Call): void;
  /** Counted calls under way. */
  inFlight(): number;
  /** Cuts short all calls that stream. */
  cutStreams(reason: ConnectError): void;
  /** Cuts short all calls. */
  cutAll(reason: ConnectError): void;
}

/** What the life of calls depends on. */
export interface CallLifeDeps {
  readonly authenticator: Pick<Authenticator, "authenticate">;
  readonly observer: CallObserver;
  readonly errors: ErrorMapper;
  readonly limits: RpcLimits;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How often the caller of a stream is judged again, in milliseconds: a revocation ends a stream within a second. */
const watchPeriodMs = 250;

/** Creates the life of a process's calls. */
export function createCallLife(deps: CallLifeDeps): CallLife {
  const { authenticator, observer, errors, limits, clock } = deps;
  const signatures = createSignatureReader(clock);
  const deadlines = createDeadlines(clock, limits.timeoutMsDefault);
  const streams = new AbortController();
  const watch = createWatch(deps);
  let inFlight = 0;

  const fail = (call: Call, thrown: unknown): ConnectError => remember(call, errors.map(thrown), deps.log);

  const begin: CallLife["begin"] = (plan, origin, { timeoutMs, error }, counted) => {
    const { method } = plan;
    if (counted) inFlight += 1;
    const span = observer.begin({
      service: method.parent.typeName,
      method: method.name,
      protocol: origin.protocol,
      traceparent: origin.header.get("traceparent") ?? undefined,
    });
    const call = new Call(plan, origin, span, counted, error);
    const isUnary = method.methodKind === "unary";
    const ms = (error === undefined ? timeoutMs : undefined) ?? (isUnary ? limits.timeoutMsDefault : undefined);
    if (ms !== undefined) call.deadline = deadlines.add(ms, (reason) => call.cut(reason));
    if (!isUnary) call.follow(streams.signal);
    return call;
  };

  const admit: CallLife["admit"] = (call) => {
    if (call.badTimeout !== undefined) throw callErrors.timeoutInvalid({ message: call.badTimeout.rawMessage });
    if (call.counted && inFlight > limits.callsInFlightMax) {
      throw callErrors.overloaded({
        message: "the server has as many calls in flight as it takes; try again shortly",
        retryAfterMs: limits.overloadRetryAfterMs,
      });
    }
    const { caller } = call.origin;
    if (caller !== undefined) return admitCaller(call, caller);
    const authorization = call.origin.header.get("authorization");
    if (authorization === null) return admitCaller(call, anonymous);
    // With tracing off no closure is made: nearly every caller is known at once.
    const found =
      call.span.traceparent === undefined
        ? authenticator.authenticate(authorization)
        : call.span.run(() => authenticator.authenticate(authorization));
    if (found instanceof Promise) return found.then((known) => admitCaller(call, known, authorization));
    return admitCaller(call, found, authorization);
  };
  const admitCaller = (call: Call, caller: Caller, authorization?: string): void => {
    const { policy, method } = call.plan;
    call.caller = caller;
    authorize(policy, caller);
    if (method.methodKind === "unary") return;
    if (mustBeSigned(call)) throw notSignable("a stream");
    if (authorization !== undefined) watch(call, authorization);
  };
  const prove: CallLife["prove"] = (call, body) => {
    const { header } = call.origin;
    if (header.has("idempotency-key")) throw notSignable("the header Idempotency-Key");
    const signature = signatures.read(header.get(signatureHeader), call.plan.path, body);
    if (call.caller.kind === "device") signature.prove(call.caller.key);
    call.signature = signature;
  };

  const invoke: CallLife["invoke"] = (call, input, context) => {
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

  const settle: CallLife["settle"] = (call, work, refuse) =>
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

  const end: CallLife["end"] = (call) => {
    if (call.isOver) return;
    call.close();
    if (call.counted) inFlight -= 1;
    call.span.end(call.failure === undefined ? "ok" : codeToString(call.failure.code));
  };

  return {
    begin,
    admit,
    mustBeSigned,
    prove,
    invoke,
    settle,
    answer: (call, context, exchange) =>
      settle(
        call,
        async () => {
          const admitted = admit(call);
          if (admitted !== undefined) await admitted;
          const request = await readRequest(exchange, mustBeSigned(call) ? (body) => prove(call, body) : undefined);
          const reply = await (invoke(call, request, context) as Message | Promise<Message>);
          const answer = exchange.write(completed(call.plan, reply));
          end(call);
          return answer;
        },
        (failure) => {
          end(call);
          return exchange.refuse(failure);
        },
      ),
    fail,
    describe: (error) => errors.map(error).error,
    end,
    inFlight: () => inFlight,
    cutStreams: (reason) => streams.abort(reason),
    cutAll: (reason) => {
      streams.abort(reason);
      deadlines.expireAll(reason);
    },
  };
}

/** Watches callers of streams: asks again and again who calls, and cuts the stream short when its caller may no longer have it. */
function createWatch({ authenticator, errors, clock, log }: CallLifeDeps): (call: Call, authorization: string) => void {
  const ask = async (call: Call, authorization: string): Promise<void> => {
    for (;;) {
      await clock.sleep(watchPeriodMs, call.signal);
      try {
        authorize(call.plan.policy, await authenticator.authenticate(authorization));
      } catch (error) {
        if (!(error instanceof MuinError)) throw error;
        // While it cannot be told whether the credentials are good, the stream goes on.
        if (error.code !== "unauthenticated" && error.code !== "permission_denied") continue;
        return call.cut(errors.map(error).error);
      }
    }
  };
  return (call, authorization) => {
    ask(call, authorization).catch((error: unknown) => {
      if (!call.signal.aborted) log.error("a stream is no longer watched", { err: error });
    });
  };
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

async function readRequest(
  exchange: Pick<Exchange<unknown>, "read">,
  prove: ((body: Uint8Array) => void) | undefined,
): Promise<Message> {
  try {
    return await exchange.read(prove);
  } catch (error) {
    if (error instanceof MuinError) throw error;
    // All else that reading can throw is the connection's end.
    throw new ProtocolFailure(
      error instanceof ConnectError ? error : new ConnectError("the request was cut off", Code.Canceled),
    );
  }
}

function run(call: Call, input: Input, context: HandlerContext): Output {
  const { plan } = call;
  if (!plan.isUp()) throw callErrors.serviceStarting({ message: `${plan.owner} is starting: try again in a moment` });
  return call.span.run(() =>
    plan.callsOthers ? runServed(context, () => plan.handler(input, context)) : plan.handler(input, context),
  );
}

function accept(call: Call, request: Message): void {
  if (call.signature === undefined && mustBeSigned(call)) throw signatureMissing();
  const idempotencyKey = call.origin.header.get("idempotency-key");
  if (idempotencyKey !== null) applyIdempotencyKey(call.plan, request, idempotencyKey);
  call.plan.validate(request);
}

function acceptEach(call: Call, requests: AsyncIterable<Message>): AsyncIterable<Message> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = requests[Symbol.asyncIterator]();
      return {
        next: async () => {
          const result = await inner.next();
          if (result.done !== true) accept(call, result.value);
          return result;
        },
        return: async () => (await inner.return?.()) ?? { done: true, value: undefined },
      };
    },
  };
}

function mustBeSigned({ caller, plan }: Call): boolean {
  return caller.kind === "device" || plan.policy?.signed === true;
}

function applyIdempotencyKey(plan: MethodPlan, request: Message, idempotencyKey: string): void {
  if (!plan.hasRequestId) throw callErrors.idempotencyKeyUnsupported();
  const target = request as Message & { requestId: string };
  if (target.requestId === "") {
    target.requestId = idempotencyKey;
  } else if (target.requestId !== idempotencyKey) {
    throw callErrors.idempotencyKeyDiffers({
      violations: [{ field: "request_id", description: "must equal the header Idempotency-Key" }],
    });
  }
}

/** A handler may return a part of its reply. */
function completed({ method: { output } }: MethodPlan, reply: Message): Message {
  return reply.$typeName === output.typeName ? reply : create(output, reply);
}
