import type { ConnectError } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";

/**
 * What only its text tells of an error that the protocol library (@connectrpc/connect) made: it gives the code `internal` to faults
 * of the caller and of the server alike. One that stands here is the caller's; of any other the caller learns nothing.
 */
export const libraryTexts = {
  /** The body is no protobuf of the request's type. JSON that is none has the code `invalid_argument`. */
  binaryMalformed: "parse binary: ",
  /** A message of a stream is flagged as compressed, and no compression was named. */
  compressionUnnamed: "received compressed envelope, but do not know how to decompress",
} as const;

/** Whether the library made `error` with that text. */
export function isLibraryError(error: ConnectError, text: keyof typeof libraryTexts): boolean {
  return error.code === Code.Internal && error.rawMessage.startsWith(libraryTexts[text]);
}
