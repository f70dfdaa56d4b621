import { create, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { MuinError } from "../../errors/muin-error.ts";
import { LazyContext, type CallOrigin } from "./call-context.ts";
import type { RpcLimits } from "./limits.ts";
import type { MethodPlan, UnaryHandler } from "./plan.ts";
import { timeoutError, type Call, type Steps } from "./life.ts";

/** How a lane of our own reads a request and answers it. */
export interface UnaryLane {
  readonly protocol: string;
  /**
   * Reads and parses the request. `prove` is given for a call that must be signed: it takes the message as it was sent, before
   * parsing. A ConnectError that is thrown is the protocol's, a MuinError is not.
   */
  read(prove: ((body: Uint8Array) => void) | undefined): Promise<Message>;
  /** The response to a reply; what it throws is the handler's fault. */
  reply(message: Message, context: LazyContext): Response;
  /** The response to an error that was mapped. */
  refuse(error: ConnectError, context: LazyContext): Response;
}

/** The deadline that a caller named, or what is wrong with it. */
export interface NamedTimeout {
  readonly timeoutMs?: number | undefined;
  readonly error?: ConnectError | undefined;
}

/** What calls of our own lanes share. */
export interface UnaryDeps {
  readonly steps: Steps;
  readonly limits: RpcLimits;
  readonly shutdownSignal: AbortSignal;
}

/** Runs one unary call through all steps. Answers at the deadline, however long the handler goes on. */
export function runUnary(
  plan: MethodPlan,
  origin: CallOrigin,
  lane: UnaryLane,
  named: NamedTimeout,
  { steps, limits, shutdownSignal }: UnaryDeps,
): Promise<Response> {
  const header = origin.requestHeader;
  const call = steps.begin(plan, lane.protocol, header.get("traceparent"), true);
  return new Promise((resolve) => {
    const refuse = (error: ConnectError): void => {
      if (call.ended) return;
      deadline.cancel();
      context.abort(error);
      steps.end(call);
      resolve(lane.refuse(error, context));
    };
    const timeoutMs = named.error === undefined ? named.timeoutMs : undefined;
    const deadline = steps.deadlines.add(timeoutMs ?? limits.timeoutMsDefault, (reason) => {
      if (!call.ended) refuse(steps.fail(call, reason));
    });
    call.deadline = deadline;
    const context = new LazyContext(call, origin, shutdownSignal);
    const run = async (): Promise<void> => {
      try {
        const response = await work(call, context, lane, named, steps);
        if (call.ended) return; // Answered at the deadline.
        deadline.cancel();
        context.abort();
        steps.end(call);
        resolve(response);
      } catch (error) {
        if (call.ended) return;
        refuse(error instanceof ProtocolFailure ? steps.failProtocol(call, error.error) : steps.fail(call, error));
      }
    };
    void run(); // Catches all that it throws.
  });
}

/** An error of the protocol library, kept apart from what handlers throw. */
class ProtocolFailure {
  readonly error: ConnectError;

  constructor(error: ConnectError) {
    this.error = error;
  }
}

async function work(
  call: Call,
  context: LazyContext,
  lane: UnaryLane,
  named: NamedTimeout,
  steps: Steps,
): Promise<Response> {
  const { plan } = call;
  const header = context.requestHeader;
  if (named.error !== undefined) throw timeoutError(named.error);
  const admitted = steps.admit(call, header.get("authorization"));
  if (admitted !== undefined) await admitted;
  let request: Message;
  try {
    request = await lane.read(steps.mustBeSigned(call) ? (body) => steps.prove(call, header, body) : undefined);
  } catch (error) {
    if (error instanceof MuinError) throw error;
    // All else that reading can throw is the connection's end.
    throw new ProtocolFailure(
      error instanceof ConnectError ? error : new ConnectError("the request was cut off", Code.Canceled),
    );
  }
  steps.accept(call, request, header.get("idempotency-key"));
  const handler = plan.handler as unknown as UnaryHandler;
  const reply = await call.span.run(() => handler(request, context));
  return lane.reply(
    reply.$typeName === plan.method.output.typeName ? reply : create(plan.method.output, reply),
    context,
  );
}
