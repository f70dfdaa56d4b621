import type { OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { CallContext } from "../call/call-context.ts";
import { envelopeBytes } from "../call/pieces.ts";
import { spellMessage } from "../universal/write-reply.ts";
import { contentTypes } from "./read-stream.ts";
import { closeUnread } from "./write-reply.ts";

type UsedHeaders = Pick<CallContext, "usedResponseHeader" | "usedResponseTrailer">;

const ok: OutgoingHttpHeaders = { "grpc-status": "0" };
const withTrailers = { waitForTrailers: true };
const withoutBody = { endStream: true };

/** Sends a reply to a plain unary call, with the headers and trailers that the handler set. Nothing when its caller is gone. */
export function sendReply(stream: ServerHttp2Stream, body: Uint8Array, context: CallContext): void {
  if (isGone(stream)) return;
  const { usedResponseHeader: header, usedResponseTrailer: trailer } = context;
  stream.once("wantTrailers", () => {
    if (!isGone(stream)) stream.sendTrailers(trailer === undefined ? ok : { ...Object.fromEntries(trailer), ...ok });
  });
  stream.respond(headOf(header), withTrailers);
  stream.end(inEnvelope(body));
}

/** Answers with an error, as trailers alone, and the headers and trailers that a handler set. Nothing when its caller is gone. */
export function sendError(
  stream: ServerHttp2Stream,
  error: ConnectError,
  { usedResponseHeader: header, usedResponseTrailer: trailer = new Headers() }: Partial<UsedHeaders> = {},
): void {
  if (isGone(stream)) return;
  setTrailerStatus(trailer, error);
  spellMessage(trailer);
  stream.respond({ ...headOf(header), ...Object.fromEntries(trailer) }, withoutBody);
  closeUnread(stream);
}

function headOf(header: Headers | undefined): OutgoingHttpHeaders {
  const head = { ":status": 200, "content-type": contentTypes.proto };
  return header === undefined ? head : { ...Object.fromEntries(header), ...head };
}

function inEnvelope(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(envelopeBytes + message.byteLength);
  framed[0] = 0;
  framed.writeUInt32BE(message.byteLength, 1);
  framed.set(message, envelopeBytes);
  return framed;
}

function isGone(stream: ServerHttp2Stream): boolean {
  return stream.destroyed || stream.closed;
}
