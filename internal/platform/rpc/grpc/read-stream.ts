import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { compressedFlag } from "@connectrpc/connect/protocol";
import { libraryTexts } from "../call/library-texts.ts";
import type { Call, CallOrigin, LazyHeaders, OnKnown } from "../call/call.ts";
import { envelopeBytes, Pieces } from "../call/pieces.ts";
import type { Serialization } from "../call/serialization.ts";

/** The content types of plain gRPC. */
export const contentTypes = { plain: "application/grpc", proto: "application/grpc+proto" } as const;

/** Whether a request is a call with an uncompressed protobuf message. */
export function isPlain(headers: IncomingHttpHeaders): boolean {
  const { ":method": method, "content-type": contentType, "grpc-encoding": encoding } = headers;
  if (method !== "POST" || (encoding !== undefined && encoding !== "identity")) return false;
  return contentType === contentTypes.plain || contentType === contentTypes.proto;
}

/** Where a call of plain gRPC came from: its stream's own headers, none of which is copied before a handler asks. */
export class GrpcOrigin implements CallOrigin, LazyHeaders {
  readonly protocol = "grpc";
  readonly method = "POST";
  readonly address: () => string;
  readonly onKnown: OnKnown;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  #controller: AbortController | undefined;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, address: () => string, onKnown: OnKnown) {
    this.#stream = stream;
    this.#headers = headers;
    this.address = address;
    this.onKnown = onKnown;
  }

  get url(): string {
    const { ":scheme": scheme = "http", ":authority": authority = "", ":path": path = "/" } = this.#headers;
    return `${scheme}://${authority}${path}`;
  }
  get header(): LazyHeaders {
    return this;
  }
  get(name: string): string | null {
    const value = this.#headers[name];
    if (value === undefined) return null;
    return typeof value === "string" ? value : value.join(", ");
  }
  has(name: string): boolean {
    return this.#headers[name] !== undefined;
  }
  all(): Headers {
    const all = new Headers();
    for (const [name, value] of Object.entries(this.#headers)) {
      if (name.startsWith(":") || value === undefined) continue;
      for (const one of typeof value === "string" ? [value] : value) all.append(name, one);
    }
    return all;
  }
  /** Made when it is first asked for. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = (this.#controller = new AbortController());
      const onClose = (): void => controller.abort(new ConnectError("the call was canceled", Code.Canceled));
      if (this.#stream.destroyed) onClose();
      else this.#stream.once("close", onClose);
    }
    return this.#controller.signal;
  }
}

/** Reads the message of a call's plain unary request: `bytesMax` bytes at the most. `prove` gets it as it was sent. */
export async function readMessage(
  call: Call,
  stream: ServerHttp2Stream,
  bytesMax: number,
  serialization: Pick<Serialization, "parse">,
  prove: ((body: Uint8Array) => Promise<void>) | undefined,
): Promise<Message> {
  const message = await readEnvelope(call, stream, bytesMax);
  if (prove !== undefined) await prove(message);
  return serialization.parse(call, message);
}

/** The one message of a request, when it has ended. Rejects as soon as it cannot be one; what comes then is not read. */
function readEnvelope(call: Call, stream: ServerHttp2Stream, bytesMax: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const onCutOff = (): void => reject(new ConnectError("the request was cut off", Code.Canceled));
    if (stream.aborted || stream.destroyed) return onCutOff(); // While it was found out who calls.
    const body = new EnvelopeReader(bytesMax);
    const onData = (chunk: Buffer): void => {
      call.hold?.(call, chunk.byteLength);
      const fault = body.add(chunk);
      if (fault === undefined) return;
      stream.off("data", onData);
      stream.pause();
      reject(fault);
    };
    stream.on("data", onData);
    stream.once("aborted", onCutOff); // Before "end", which comes of a canceled request too.
    stream.once("end", () => {
      try {
        resolve(body.message());
      } catch (error) {
        reject(error);
      }
    });
    stream.once("close", onCutOff);
    stream.on("error", () => undefined); // "close" follows.
  });
}

/** A body that is one message in its envelope, as it comes. Errors are in the words of the library's handlers. */
class EnvelopeReader {
  readonly #bytesMax: number;
  readonly #pieces = new Pieces();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Takes what has come. Answers what is wrong with it, whatever follows. */
  add(chunk: Buffer): ConnectError | undefined {
    this.#pieces.add(chunk);
    const promised = this.#pieces.promisedAt(0);
    if (promised === undefined) return undefined;
    if (promised > this.#bytesMax) {
      const text = `message size ${promised} is larger than configured readMaxBytes ${this.#bytesMax}`;
      return new ConnectError(text, Code.ResourceExhausted);
    }
    if (this.#pieces.byteLength <= envelopeBytes + promised) return undefined;
    return new ConnectError("protocol error: received extra input message for unary method", Code.Unimplemented);
  }

  /** The message of a body that has ended. */
  message(): Uint8Array {
    const bytes = this.#pieces.byteLength;
    if (bytes === 0) {
      throw new ConnectError("protocol error: missing input message for unary method", Code.Unimplemented);
    }
    const promised = this.#pieces.promisedAt(0);
    if (promised === undefined || bytes < envelopeBytes + promised) {
      throw new ConnectError("protocol error: incomplete envelope", Code.InvalidArgument);
    }
    const body = this.#pieces.whole();
    if ((body[0]! & compressedFlag) !== 0) throw new ConnectError(libraryTexts.compressionUnnamed, Code.Internal);
    return body.subarray(envelopeBytes);
  }
}
