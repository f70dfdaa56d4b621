import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Serialization } from "@connectrpc/connect/protocol";
import { libraryTexts } from "../call/library-texts.ts";
import type { Call, CallOrigin, LazyHeaders, OnKnown } from "../call/call.ts";

/** The content types of plain gRPC. */
export const contentTypes = { plain: "application/grpc", proto: "application/grpc+proto" } as const;

/** Flags and length before a message. */
export const envelopeBytes = 5;

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
    return `${String(scheme)}://${authority}${path}`;
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
  serialization: Pick<Serialization<Message>, "parse">,
  prove: ((body: Uint8Array) => Promise<void>) | undefined,
): Promise<Message> {
  const message = await readEnvelope(call, stream, bytesMax);
  if (prove !== undefined) await prove(message);
  return serialization.parse(message);
}

/** The one message of a request, when it has ended. Rejects as soon as it cannot be one; what comes then is not read. */
function readEnvelope(call: Call, stream: ServerHttp2Stream, bytesMax: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let body: Buffer | undefined;
    const onData = (chunk: Buffer): void => {
      call.hold?.(call, chunk.byteLength);
      body = body === undefined ? chunk : Buffer.concat([body, chunk]);
      const fault = faultOf(body, bytesMax);
      if (fault === undefined) return;
      stream.off("data", onData);
      stream.pause();
      reject(fault);
    };
    stream.on("data", onData);
    stream.once("end", () => {
      try {
        resolve(openEnvelope(body));
      } catch (error) {
        reject(error as ConnectError);
      }
    });
    stream.once("close", () => reject(new ConnectError("the request was cut off", Code.Canceled)));
    stream.on("error", () => undefined); // "close" follows.
  });
}

/** What is wrong with the beginning of a body, whatever follows; in the words of the library's handlers. */
function faultOf(body: Buffer, bytesMax: number): ConnectError | undefined {
  if (body.byteLength < envelopeBytes) return undefined;
  const length = body.readUInt32BE(1);
  if (length > bytesMax) {
    const text = `message size ${length} is larger than configured readMaxBytes ${bytesMax}`;
    return new ConnectError(text, Code.ResourceExhausted);
  }
  if (body.byteLength <= envelopeBytes + length) return undefined;
  return new ConnectError("protocol error: received extra input message for unary method", Code.Unimplemented);
}

/** The message of a body that has ended. */
function openEnvelope(body: Buffer | undefined): Uint8Array {
  if (body === undefined) {
    throw new ConnectError("protocol error: missing input message for unary method", Code.Unimplemented);
  }
  if (body.byteLength < envelopeBytes) {
    throw new ConnectError("protocol error: incomplete envelope", Code.InvalidArgument);
  }
  const length = body.readUInt32BE(1);
  if (body.byteLength < envelopeBytes + length) {
    const text = `protocol error: promised ${length} bytes in enveloped message, got ${body.byteLength - envelopeBytes} bytes`;
    throw new ConnectError(text, Code.InvalidArgument);
  }
  if (body[0] !== 0) throw new ConnectError(libraryTexts.compressionUnnamed, Code.Internal);
  return body.subarray(envelopeBytes);
}
