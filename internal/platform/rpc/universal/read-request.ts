import { createContextKey } from "@connectrpc/connect";
import { readAllBytes, type UniversalServerRequest } from "@connectrpc/connect/protocol";
import { notSignable } from "../../identity/call-signature.ts";
import type { Call, NamedTimeout } from "../call/call.ts";
import { callErrors } from "../call/errors.ts";
import { readConnectTimeout, readGrpcTimeout } from "../call/named-timeout.ts";
import { envelopeBytes, inBlocks, inEnvelopes } from "../call/pieces.ts";
import { raceIterable } from "../call/race.ts";
import { single } from "../call/single.ts";
import { percentText } from "../call/wire-text.ts";

/** A protocol of the library, told by its content type. */
export type Protocol = "connect" | "grpc" | "grpc-web";

/** The protocol of a request with these headers. */
export function protocolOf(header: Headers): Protocol {
  const contentType = header.get("content-type");
  if (contentType === null || !contentType.startsWith("application/grpc")) return "connect";
  return contentType.startsWith("application/grpc-web") ? "grpc-web" : "grpc";
}

/** The deadline that the caller named in the headers of its protocol. */
export function readTimeout(protocol: Protocol, header: Headers, timeoutMsMax: number): NamedTimeout {
  return protocol === "connect"
    ? readConnectTimeout(header.get("connect-timeout-ms"), timeoutMsMax)
    : readGrpcTimeout(header.get("grpc-timeout"), timeoutMsMax);
}

/** A body that can be read whole before it is read. */
export interface ReplayableBody extends AsyncIterable<Uint8Array> {
  /** All of it; `bytesMax` bytes at the most, then ConnectError `resource_exhausted`. Once. */
  whole(bytesMax: number): Promise<Uint8Array>;
}

/** Carries the body, for a call whose signature covers it. */
export const bodyKey: ReturnType<typeof createContextKey<ReplayableBody | undefined>> = createContextKey<
  ReplayableBody | undefined
>(undefined, { description: "body" });

/**
 * The body of a call's request, whose messages have `bytesMax` bytes at the most. One that never comes ends with the call. The source is
 * then only left unread: cancelling it would end the HTTP/2 stream before the reply. The library takes the longer for each piece the more
 * have come, and so gets few, however many the sender made.
 */
export function replayableBody(request: UniversalServerRequest, call: Call, bytesMax: number): ReplayableBody {
  const pieces = raceIterable(request.body as AsyncIterable<Uint8Array>, call.signal, {
    release: false,
    onValue: (chunk) => call.hold?.(call, chunk.byteLength),
  });
  const isOne = call.origin.protocol === "connect" && call.plan.method.methodKind === "unary";
  const source = isOne ? inBlocks(pieces, bytesMax) : inEnvelopes(pieces, bytesMax);
  let read: Uint8Array | undefined;
  return {
    whole: async (bytesMax) => (read = await readAllBytes(source, bytesMax)),
    [Symbol.asyncIterator]: () => (read === undefined ? source : single(read))[Symbol.asyncIterator](),
  };
}

/** The request message as it was sent, of a call whose signature must cover it; `bytesMax` bytes at the most. */
export async function signedMessage(body: ReplayableBody, { origin }: Call, bytesMax: number): Promise<Uint8Array> {
  if (origin.method === "GET") throw notSignable("the method GET");
  if (origin.protocol === "connect") {
    const encoding = origin.header.get("content-encoding");
    if (encoding !== null && encoding !== "identity") throw notSignable("a compressed body");
    return body.whole(bytesMax);
  }
  const framed = Buffer.from(await body.whole(envelopeBytes + bytesMax));
  if (framed.length >= envelopeBytes && framed[0] === 1) throw notSignable("a compressed body");
  if (framed.length < envelopeBytes || framed[0] !== 0 || framed.readUInt32BE(1) !== framed.length - envelopeBytes) {
    throw notSignable("any body but one message");
  }
  return framed.subarray(envelopeBytes);
}

/** The headers without a deadline. */
export function withoutTimeout(header: Headers): Headers {
  const rest = new Headers(header);
  rest.delete("connect-timeout-ms");
  rest.delete("grpc-timeout");
  return rest;
}

/**
 * Throws for the query of a GET whose message is no base64 though it says so, for one that is not percent-encoded, and for a parameter that
 * stands twice.
 */
export function checkQuery(url: string): void {
  const query = url.slice(url.indexOf("?") + 1);
  if (/%(?![\da-f]{2})/i.test(query)) {
    throw callErrors.requestMalformed({ message: "the query is not percent-encoded: write % as %25" });
  }
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (parameters.getAll(name).length === 1) continue;
    throw callErrors.requestMalformed({ message: `query parameter ${name} stands twice` });
  }
  if (parameters.get("base64") !== "1" || isBase64(parameters.get("message") ?? "")) return;
  throw callErrors.requestMalformed({
    message: "the parameter message is no base64, as base64=1 says: send it as base64url",
  });
}

/** The URL of a GET, whose query is the message, as the library reads it: text that is text, the content coding in lower case. */
export function readableUrl(url: string): string {
  return percentText(url).replace(/(?<=[?&]compression=)[^&]*/, (coding) => coding.toLowerCase());
}

/** Whether a text is base64 or base64url, padded or not. */
function isBase64(text: string): boolean {
  return /^(?:[\w+/-]{4})*(?:[\w+/-]{2,3}={0,2})?$/.test(text);
}

const encodingHeaders = ["content-encoding", "connect-content-encoding", "grpc-encoding"] as const;

/** The headers with the names of content codings in lower case: https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1. */
export function withPlainEncodings(header: Headers): Headers {
  let plain = header;
  for (const name of encodingHeaders) {
    const encoding = header.get(name);
    if (encoding === null || encoding === encoding.toLowerCase()) continue;
    if (plain === header) plain = new Headers(header);
    plain.set(name, encoding.toLowerCase());
  }
  return plain;
}
