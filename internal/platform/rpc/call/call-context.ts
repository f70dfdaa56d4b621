import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { createContextKey, type ContextKey, type ContextValues, type HandlerContext } from "@connectrpc/connect";
import { addressKey } from "../../identity/address.ts";
import { signatureKey } from "../../identity/call-signature.ts";
import { callerKey } from "../../identity/caller.ts";
import type { Call, RequestHeader } from "./call.ts";

/** Carries the call in a handler's context. */
export const callKey: ReturnType<typeof createContextKey<Call | undefined>> = createContextKey<Call | undefined>(
  undefined,
  { description: "muin call" },
);

/**
 * What the handler of a call learns in the lanes of our own. Signal, headers and values are made when a handler first uses them:
 * most handlers use none, and making them costs more than such a call.
 */
export class CallContext implements HandlerContext {
  readonly #call: Call;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;
  #values: ContextValues | undefined;

  constructor(call: Call) {
    this.#call = call;
  }

  get method(): DescMethod {
    return this.#call.plan.method;
  }
  get service(): DescService {
    return this.#call.plan.method.parent;
  }
  get requestMethod(): string {
    return this.#call.origin.method;
  }
  get url(): string {
    return this.#call.origin.url;
  }
  get protocolName(): string {
    return this.#call.origin.protocol;
  }
  get requestHeader(): Headers {
    return (this.#requestHeader ??= headersOf(this.#call.origin.header));
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
    return (this.#values ??= new CallValues(this.#call));
  }
  get signal(): AbortSignal {
    return this.#call.signal;
  }
  readonly timeoutMs = (): number | undefined => this.#call.deadline?.remainingMs();
}

function headersOf(header: RequestHeader): Headers {
  return header instanceof Headers ? header : header.all();
}

/** Context values that know call, caller, signature and address without having been told. */
export class CallValues implements ContextValues {
  readonly #set = new Map<symbol, unknown>();
  readonly #call: Call;

  constructor(call: Call) {
    this.#call = call;
  }

  get<T>(key: ContextKey<T>): T {
    if (this.#set.has(key.id)) return this.#set.get(key.id) as T;
    if (key.id === callerKey.id) return this.#call.caller as T;
    if (key.id === addressKey.id) return this.#call.origin.address() as T;
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
