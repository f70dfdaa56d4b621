import { readAllBytes, universalServerRequestFromFetch } from "@connectrpc/connect/protocol";
import type { Call } from "./call.ts";
import { inBlocks } from "./pieces.ts";

/** Reads the body of the call's request: `bytesMax` bytes at most, beyond which it rejects with ConnectError `resource_exhausted`. */
export function readBytes(call: Call, request: Request, bytesMax: number): Promise<Uint8Array> {
  const length = request.headers.get("content-length");
  if (length !== null && /^\d+$/.test(length) && Number(length) <= bytesMax) {
    call.hold?.(call, Number(length));
    return request.bytes();
  }
  // Many clients send a message in chunks, without saying how long it is.
  const chunks = universalServerRequestFromFetch(request, {}).body as AsyncIterable<Uint8Array>;
  return readAllBytes(inBlocks(holdEach(call, chunks), bytesMax), bytesMax, length);
}

/** The chunks of a body, each counted among what is held of it. */
async function* holdEach(call: Call, chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  for await (const chunk of chunks) {
    call.hold?.(call, chunk.byteLength);
    yield chunk;
  }
}
