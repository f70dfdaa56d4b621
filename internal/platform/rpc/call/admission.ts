import type { Clock } from "../../clock/clock.ts";
import { MuinError } from "../../errors/muin-error.ts";
import type { Authenticator } from "../../identity/authenticator.ts";
import { createSignatureReader, notSignable, type SignatureReader } from "../../identity/call-signature.ts";
import { anonymous, type Caller } from "../../identity/caller.ts";
import { signatureHeader } from "../../identity/signed-call.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { authorize } from "./authorize.ts";
import type { AwaitedBodies } from "./awaited-bodies.ts";
import type { Call } from "./call.ts";
import { callErrors } from "./errors.ts";
import type { ErrorMapper } from "./map-error.ts";
import type { Places } from "./places.ts";

/** Lets calls in: those for which there is room, by callers who may make them. */
export interface Admission {
  /**
   * Throws unless the deadline is a good one, the caller may call and there is room. Synchronous when identity is known at once. A
   * stream is watched from then on: it is cut short when its caller may no longer have it. The request is awaited from then on.
   */
  admit(call: Call): void | Promise<void>;
  /**
   * Reads the signature of a call that must be signed, and proves it where the caller is known: a device. `body` is the request
   * message as it was sent. After `admit`. Rejects as `CallSignature.prove` does.
   */
  prove(call: Call, body: Uint8Array): Promise<void>;
}

/** Who tells callers, where there is room, and how their errors are mapped. */
export interface AdmissionDeps {
  readonly authenticator: Pick<Authenticator, "authenticate">;
  readonly errors: ErrorMapper;
  readonly clock: Clock;
  readonly log: Logger;
  readonly places: Pick<Places, "look" | "enter" | "identify">;
  readonly bodies: Pick<AwaitedBodies, "expect">;
  /** Default: one that remembers the calls of this process alone. */
  readonly signatures?: SignatureReader | undefined;
}

/** How often the caller of a stream is judged again, in milliseconds: a revocation ends a stream within a second. */
const watchPeriodMs = 250;

/** Creates the admission of a process's calls. */
export function createAdmission(deps: AdmissionDeps): Admission {
  const { authenticator, places, bodies } = deps;
  const signatures = deps.signatures ?? createSignatureReader(deps);
  const watch = createWatch(deps);

  const admit: Admission["admit"] = (call) => {
    if (call.badTimeout !== undefined) throw callErrors.timeoutInvalid({ message: call.badTimeout.rawMessage });
    const { caller } = call.origin;
    if (caller !== undefined) return admitCaller(call, caller);
    const authorization = call.origin.header.get("authorization");
    if (authorization === null) return admitCaller(call, anonymous);
    // With tracing off no closure is made: nearly every caller is known at once.
    const found =
      call.span.traceparent === undefined
        ? authenticator.authenticate(authorization, call.origin)
        : call.span.run(() => authenticator.authenticate(authorization, call.origin));
    if (found instanceof Promise) {
      return places.identify(call, found).then((known) => admitCaller(call, known, authorization));
    }
    return admitCaller(call, found, authorization);
  };
  const admitCaller = (call: Call, caller: Caller, authorization?: string): void => {
    const { method } = call.plan;
    call.caller = caller;
    if (caller.kind !== "anonymous") call.origin.onKnown?.(call);
    authorize(call.plan, caller);
    places.look(call);
    if (method.methodKind !== "unary") {
      if (mustBeSigned(call)) throw notSignable("a stream");
      if (authorization !== undefined) watch(call, authorization);
    }
    if (call.origin.caller !== undefined) return; // Its request is in the process already.
    if (method.methodKind === "unary" || method.methodKind === "server_streaming") bodies.expect(call);
    else places.enter(call);
  };
  const prove: Admission["prove"] = async (call, body) => {
    const { header } = call.origin;
    if (header.has("idempotency-key")) throw notSignable("the header Idempotency-Key");
    const signature = signatures.read(header.get(signatureHeader), call.plan.path, body, call.plan.owner);
    if (call.caller.kind === "device") await signature.prove(call.caller.key);
    call.signature = signature;
  };

  return { admit, prove };
}

/** Whether an admitted call must be signed: a device's, or one of a method that takes signed calls only. */
export function mustBeSigned({ caller, plan }: Call): boolean {
  return caller.kind === "device" || plan.policy?.signed === true;
}

/** Watches callers of streams: asks again and again who calls, and cuts the stream short when its caller may no longer have it. */
function createWatch({
  authenticator,
  errors,
  clock,
  log,
}: AdmissionDeps): (call: Call, authorization: string) => void {
  const ask = async (call: Call, authorization: string): Promise<void> => {
    for (;;) {
      await clock.sleep(watchPeriodMs, call.signal);
      try {
        authorize(call.plan, await authenticator.authenticate(authorization, call.origin));
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
