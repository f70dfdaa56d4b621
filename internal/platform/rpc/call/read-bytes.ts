import { readAllBytes, universalServerRequestFromFetch } from "@connectrpc/connect/protocol";

/** Reads the body of a request: `bytesMax` bytes at most, beyond which it rejects with ConnectError `resource_exhausted`. */
export function readBytes(request: Request, bytesMax: number): Promise<Uint8Array> {
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) <= bytesMax) return request.bytes();
  // Many clients send a message in chunks, without saying how long it is.
  return readAllBytes(universalServerRequestFromFetch(request, {}).body as AsyncIterable<Uint8Array>, bytesMax, length);
}
