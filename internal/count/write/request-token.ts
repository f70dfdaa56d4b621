import { tokenBytes } from "./write-batch.ts";

const digest = new Uint8Array(32);

/**
 * What makes a repeated write the same write: the first 16 bytes of SHA-256 over principal, Count and request id, each ended by
 * a zero byte that none of them contains. Its collisions are out of anybody's reach, and it is short in the store.
 */
export function requestToken(principal: string, countId: string, requestId: string): Uint8Array {
  Bun.SHA256.hash(`${principal}\0${countId}\0${requestId}\0`, digest);
  return digest.slice(0, tokenBytes);
}
