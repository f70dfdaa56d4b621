import { Code, ConnectError } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import type { Compression } from "@connectrpc/connect/protocol";
import type { Policy } from "../../../gen/muin/platform/v1/options_pb.ts";
import type { RpcLimits } from "./limits.ts";

/**
 * How bodies of a method with this policy may be compressed. What is decompressed ends at the limit on messages, and gzip needs 32 KiB
 * for it; Brotli needs the window that the sender names, whatever comes out, so it is not taken where anybody may call, unless limits say so.
 */
export function compressionsOf(policy: Policy | undefined, limits: RpcLimits): Compression[] {
  const isRefused = policy?.public === true && !limits.takesPublicBrotli;
  return isRefused ? [compressionGzip] : [compressionGzip, boundedBrotli];
}

/** Largest window of Brotli that is taken, in bits: 4 MiB, which compressors take unless told otherwise. The most is 16 MiB. */
const windowBitsMax = 22;

const boundedBrotli: Compression = {
  ...compressionBrotli,
  decompress: (bytes, bytesMax) => {
    if (windowBitsOf(bytes) <= windowBitsMax) return compressionBrotli.decompress(bytes, bytesMax);
    const error = new ConnectError(
      `a Brotli window of more than ${windowBitsMax} bits is not taken`,
      Code.ResourceExhausted,
    );
    return Promise.reject(error);
  },
};

/** Bits of the window that a Brotli stream names when it is more than 16, else 16: https://www.rfc-editor.org/rfc/rfc7932#section-9.1. */
function windowBitsOf([first = 0]: Uint8Array): number {
  const more = (first >> 1) & 7;
  return (first & 1) === 0 || more === 0 ? 16 : 17 + more;
}
