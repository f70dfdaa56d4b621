import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { ContextKey, ContextValues, HandlerContext } from "@connectrpc/connect";
import { addressKey } from "../../identity/address.ts";
import { signatureKey } from "../../identity/call-signature.ts";
import { callerKey } from "../../identity/caller.ts";
import { callKey, type Call } from "./life.ts";

/** Where a call came from; each part is asked for at most once, and only by a handler that uses it. */
export interface CallOrigin {
  readonly protocolName: string;
  readonly requestMethod: string;
  readonly url: string;
  readonly requestHeader: Headers;
  /** Aborted when the caller goes away. */
  readonly signal: AbortSignal | undefined;
  /** The caller's network address. */
  address(): string;
}

/**
 * The context of a call in the lanes of our own. Signal, headers and values are made when a handler first uses them: most
 * handlers use none, and making them costs more than such a call.
 */
export class LazyContext implements HandlerContext {
  readonly #call: Call;
  readonly #origin: CallOrigin;
  readonly #shutdown: AbortSignal;
  #controller: AbortController | undefined;
  #aborted: unknown;
  #isAborted = false;
  #unlink: (() => void) | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #values: ContextValues | undefined;

  constructor(call: Call, origin: CallOrigin, shutdown: AbortSignal) {
    this.#call = call;
    this.#origin = origin;
    this.#shutdown = shutdown;
  }

  get method(): DescMethod {
    return this.#call.plan.method;
  }
  get service(): DescService {
    return this.#call.plan.method.parent;
  }
  get requestMethod(): string {
    return this.#origin.requestMethod;
  }
  get url(): string {
    return this.#origin.url;
  }
  get protocolName(): string {
    return this.#origin.protocolName;
  }
  get requestHeader(): Headers {
    return this.#origin.requestHeader;
  }
  get responseHeader(): Headers {
    return (this.#responseHeader ??= new Headers());
  }
  get responseTrailer(): Headers {
    return (this.#responseTrailer ??= new Headers());
  }
  /** Headers that the handler set; `undefined` when it used none. */
  get usedResponseHeader(): Headers | undefined {
    return this.#responseHeader;
  }
  /** Trailers that the handler set; `undefined` when it used none. */
  get usedResponseTrailer(): Headers | undefined {
    return this.#responseTrailer;
  }
  get values(): ContextValues {
    return (this.#values ??= new CallValues(this.#call, this.#origin));
  }
  readonly timeoutMs = (): number | undefined => this.#call.deadline?.remainingMs();

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = (this.#controller = new AbortController());
      if (this.#isAborted) {
        controller.abort(this.#aborted);
      } else {
        const linked = this.#origin.signal === undefined ? [this.#shutdown] : [this.#origin.signal, this.#shutdown];
        const listeners = linked.map((signal) => {
          const onAbort = (): void => controller.abort(signal.reason);
          if (signal.aborted) onAbort();
          else signal.addEventListener("abort", onAbort, { once: true });
          return () => signal.removeEventListener("abort", onAbort);
        });
        this.#unlink = () => listeners.forEach((remove) => remove());
      }
    }
    return this.#controller.signal;
  }

  /** The call is over: `reason` for a failure, nothing for success. */
  abort(reason?: unknown): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#aborted = reason;
    this.#unlink?.();
    this.#controller?.abort(reason);
  }
}

/** Context values that know caller, address and call without having been told. */
class CallValues implements ContextValues {
  readonly #set = new Map<symbol, unknown>();
  readonly #call: Call;
  readonly #origin: CallOrigin;

  constructor(call: Call, origin: CallOrigin) {
    this.#call = call;
    this.#origin = origin;
  }

  get<T>(key: ContextKey<T>): T {
    if (this.#set.has(key.id)) return this.#set.get(key.id) as T;
    if (key.id === callerKey.id) return this.#call.caller as T;
    if (key.id === addressKey.id) return this.#origin.address() as T;
    if (key.id === callKey.id) return this.#call as T;
    if (key.id === signatureKey.id) return this.#call.signature as T;
    return key.defaultValue;
  }

  set<T>(key: ContextKey<T>, value: T): this {
    this.#set.set(key.id, value);
    return this;
  }

  delete(key: ContextKey<unknown>): this {
    this.#set.set(key.id, key.defaultValue);
    return this;
  }
}
