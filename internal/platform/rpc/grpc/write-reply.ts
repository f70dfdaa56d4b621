import { constants, type Http2ServerResponse, type ServerHttp2Stream } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { boundError } from "../call/bound-error.ts";

/** How long after a reply a request that is still being sent is cut off, in milliseconds. */
const unreadGraceMs = 5;

/** Sends a response of the library's handlers. */
export function writeReply(reply: UniversalServerResponse, response: Http2ServerResponse): Promise<void> {
  return universalResponseToNodeResponse(reply, response);
}

/** The error for a path that no method has: UNIMPLEMENTED, as gRPC wants it. */
export function unknownMethod(path: string): ConnectError {
  return boundError(new ConnectError(`there is no method ${path}`, Code.Unimplemented));
}

/**
 * A call that failed before its request was read leaves the stream half open, and a client that still writes would hang. The
 * stream is closed without error a moment after the reply, so that the reply goes out first.
 */
export function closeUnread(stream: ServerHttp2Stream): void {
  if (stream.readableEnded) return;
  setTimeout(() => {
    if (!stream.destroyed && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
  }, unreadGraceMs);
}
