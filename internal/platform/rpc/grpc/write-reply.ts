import { constants, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { boundError } from "../call/bound-error.ts";
import { spellMessage } from "../universal/write-reply.ts";

/** How long after a reply a request that is still being sent is cut off, in milliseconds. */
const unreadGraceMs = 5;

/** Sends a response of the library's handlers. */
export function writeReply(reply: UniversalServerResponse, response: Http2ServerResponse): Promise<void> {
  return universalResponseToNodeResponse(reply, response);
}

/** Answers a request at a path that no method has: UNIMPLEMENTED, as gRPC wants it. */
export function writeUnknown(path: string, response: Http2ServerResponse): Promise<void> {
  return writeError(new ConnectError(`there is no method ${path}`, Code.Unimplemented), response);
}

/** Answers a request with an error alone. */
export function writeError(error: ConnectError, response: Http2ServerResponse): Promise<void> {
  const trailer = setTrailerStatus(new Headers(), boundError(error));
  spellMessage(trailer);
  return writeReply({ status: 200, header: new Headers({ "content-type": "application/grpc" }), trailer }, response);
}

/**
 * A call that failed before its request was read leaves the stream half open, and a client that still writes would hang. The
 * stream is closed without error a moment after the reply, so that the reply goes out first.
 */
export function closeUnread(request: Http2ServerRequest, response: Http2ServerResponse): void {
  if (request.complete) return;
  setTimeout(() => {
    const { stream } = response;
    if (!stream.destroyed && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
  }, unreadGraceMs);
}
