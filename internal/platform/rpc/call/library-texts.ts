import type { ConnectError } from "@connectrpc/connect";
import { Code } from "@connectrpc/connect";
import { wantedForms } from "./json-forms.ts";

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

/** What the library says in its own or the platform's words, and what a caller is told instead. */
const rewordings: readonly (readonly [from: RegExp, to: string])[] = [
  [/^parse binary: [^]*/, "the message is no protobuf of the request's type"],
  [/^cannot decode message \S+ from JSON: JSON Parse error[^]*/, "the body is no JSON"],
  [/^cannot decode message \S+ from JSON: (duplicate object key [^]*)/, "the body is no JSON of one meaning: $1"],
  [
    /^cannot decode message google\.protobuf\.Duration from JSON: [^]*/,
    `a length of time ${wantedForms.duration}, and at most 315576000000s`,
  ],
  [/^cannot decode message google\.protobuf\.Timestamp from JSON: [^]*/, `a time ${wantedForms.moment}`],
  [
    /^cannot decode field \S+\.(\w+) from JSON: (?:list item #\d+: )?expected (?:number|bigint) \((\w+)\): -?\d+ out of range$/,
    "$1 must be a whole number that $2 holds",
  ],
  [
    /^cannot decode field \S+\.(\w+) from JSON: (?:list item #\d+: )?expected (?:number|bigint) \((?!float)\w+\)[^]*/,
    `$1 ${wantedForms.whole}`,
  ],
  [
    /^message .*larger than configured readMaxBytes (\d+)[^]*/,
    "a message may have $1 bytes here, and this one has more",
  ],
  [/^decompression failed$/, "the message is not compressed as its encoding says"],
  [/^received compressed envelope[^]*/, "a message is flagged as compressed, and no compression is named"],
];

/** A text of the protocol library's as a caller is told it. */
export function reword(text: string): string {
  for (const [from, to] of rewordings) if (from.test(text)) return text.replace(from, to);
  return text;
}
