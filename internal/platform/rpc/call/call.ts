import type { Message } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import type { CallSignature } from "../../identity/call-signature.ts";
import { anonymous, type Caller } from "../../identity/caller.ts";
import type { CallSpan } from "../../telemetry/call-observer.ts";
import { networkOf } from "../../identity/network.ts";
import type { Deadline } from "./deadlines.ts";
import type { MethodPlan } from "./plan.ts";
import { abortError } from "./race.ts";

/** Looks up headers of a request: a `Headers`, or what becomes one only when a handler asks for it. */
export type RequestHeader = Headers | LazyHeaders;

/** Headers of a request that were not copied yet. Names are in lower case. */
export interface LazyHeaders {
  /** Several of one name are joined by ", "; `null` when there is none. */
  get(name: string): string | null;
  has(name: string): boolean;
  /** A copy of all. */
  all(): Headers;
}

/** Where a call came from. What costs something to find is asked for at most once, and only where it is used. */
export interface CallOrigin {
  /** "connect", "grpc", "grpc-web", "rest" or "in-process". */
  readonly protocol: string;
  /** HTTP method. */
  readonly method: string;
  readonly url: string;
  readonly header: RequestHeader;
  /** Aborted when the caller goes away. */
  readonly signal: AbortSignal | undefined;
  /** The caller's network address; empty for a call inside the process. */
  address(): string;
  /** Who calls, where that is known without credentials; what the header Authorization says then means nothing. */
  readonly caller?: Caller;
  /** Told once good credentials have shown who calls: the connection is then no stranger's any more. */
  readonly onKnown?: OnKnown | undefined;
}

/** Told of a call whose caller showed good credentials. */
export type OnKnown = (call: Call) => void;

/** The deadline that a caller named, or what is wrong with it. */
export interface NamedTimeout {
  readonly timeoutMs?: number | undefined;
  readonly error?: ConnectError | undefined;
}

/** A call under way: what its life has found out so far, and how it may be cut short. */
export class Call {
  readonly plan: MethodPlan;
  readonly origin: CallOrigin;
  readonly span: CallSpan;
  /** Whether a stop waits for it. */
  readonly counted: boolean;
  /** What is wrong with the deadline that its caller named. */
  readonly badTimeout: ConnectError | undefined;
  /** Set once it was admitted. */
  caller: Caller = anonymous;
  /** Set once it was proven, for a call that must be signed. */
  signature: CallSignature | undefined;
  deadline: Deadline | undefined;
  /** Its request, when the method's codec read it and found that it keeps every rule. */
  validRequest: Message | undefined;
  /** When the stream of an anonymous caller ends, however it goes. */
  end: Deadline | undefined;
  /** Which place it has taken: a known caller's, an anonymous caller's, or that of an anonymous caller's stream. */
  place: "known" | "call" | "stream" | undefined;
  /** When its request must be there; `undefined` once it is, and before it is awaited. */
  bodyDeadline: Deadline | undefined;
  /** What is held of its body while that is awaited, in bytes. */
  heldBytes = 0;
  /** In how many pieces its body has come until now. */
  pieces = 0;
  /** Says that so many bytes more are held of its body; cuts the call short when that is too much. */
  hold: ((call: Call, bytes: number) => void) | undefined;
  /** What its caller was told, when it failed. */
  failure: ConnectError | undefined;
  /** Why it was cut short: its deadline, its caller's leaving or the server's stop. */
  cutReason: ConnectError | undefined;
  /** Told when it is cut short: whoever waits for it at the moment. */
  onCut: ((reason: ConnectError) => void) | undefined;
  isOver = false;
  #controller: AbortController | undefined;
  #unfollow: (() => void)[] | undefined;
  #followsCaller = false;
  #peer: string | undefined;

  constructor(plan: MethodPlan, origin: CallOrigin, span: CallSpan, counted: boolean, badTimeout?: ConnectError) {
    this.plan = plan;
    this.origin = origin;
    this.span = span;
    this.counted = counted;
    this.badTimeout = badTimeout;
  }

  /**
   * Aborted when the call is cut short, for that reason, and when it is over. Made when it is first used, because it costs more
   * than a short call; from then on a caller who goes away cuts the call short.
   */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.isOver || this.cutReason !== undefined) this.#controller.abort(this.cutReason ?? this.failure);
      else this.followCaller();
    }
    return this.#controller.signal;
  }

  /** The network that its caller's address stands for. */
  get peer(): string {
    return (this.#peer ??= networkOf(this.origin.address()));
  }

  /** Cuts the call short when its caller goes away. */
  followCaller(): void {
    if (this.#followsCaller || this.origin.signal === undefined) return;
    this.#followsCaller = true;
    this.follow(this.origin.signal);
  }

  /** Cuts the call short when `signal` is aborted before it is over. */
  follow(signal: AbortSignal): void {
    const onAbort = (): void => this.cut(abortError(signal));
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    (this.#unfollow ??= []).push(() => signal.removeEventListener("abort", onAbort));
  }

  /** Cuts the call short: whoever waits for it goes on with `reason`, however long its handler goes on. */
  cut(reason: ConnectError): void {
    if (this.isOver || this.cutReason !== undefined) return;
    this.cutReason = reason;
    this.onCut?.(reason);
    this.#controller?.abort(reason);
  }

  /** The call is over: nothing cuts it short any more, and its signal is aborted. */
  close(): void {
    this.isOver = true;
    this.deadline?.cancel();
    if (this.#unfollow !== undefined) for (const unfollow of this.#unfollow) unfollow();
    this.#controller?.abort(this.failure);
  }
}
