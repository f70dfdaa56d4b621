import type { DescMessage } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { compileJsonForms } from "./json-forms.ts";

/** Refuses bytes that are no UTF-8, where the platform's usual decoder puts a replacement character. */
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** An escape in JSON: a whole surrogate pair, a half of one, or any other. */
const jsonEscape = /\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(u[dD][89a-fA-F][\da-fA-F]{2})|[^])/g;

/** Decodes JSON as it came. */
export interface JsonDecoder {
  /** Throws ConnectError `invalid_argument` for bytes that are no UTF-8, and for what `compileJsonForms` refuses. */
  decode(bytes?: Uint8Array): string;
}

/**
 * Creates the decoder for the JSON of messages of a type; of no type where the JSON is but one value. An escape that is half of a
 * surrogate pair becomes one of NUL, which JSON parsers take as any other character and the check of the message's text refuses, by the
 * name of its field.
 */
export function createJsonDecoder(schema: DescMessage | undefined): JsonDecoder {
  const lookAt = schema === undefined ? undefined : compileJsonForms(schema);
  return {
    decode: (bytes) => {
      const text = decodeUtf8(bytes);
      lookAt?.(text);
      if (!/\\u[dD][89a-fA-F]/.test(text)) return text;
      return text.replace(jsonEscape, (escape, half?: string) => (half === undefined ? escape : "\\u0000"));
    },
  };
}

function decodeUtf8(bytes: Uint8Array | undefined): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new ConnectError("the body is no UTF-8", Code.InvalidArgument); // The decoder knows one failure only.
  }
}

/** What is percent-encoded in a row: characters do not go beyond it. */
const percentRun = /(?:%[\da-fA-F]{2})+/g;

/** What Bun puts in a URL for bytes that came as they are and are no UTF-8. Whoever writes it there themself has damaged text too. */
const replaced = /\ufffd|%EF%BF%BD/gi;

/**
 * A path's segment or a query as it came, but with NUL for what is no UTF-8: decoders would put a replacement character there or give
 * up, and the check of the message's text refuses NUL by the name of its field.
 */
export function percentText(encoded: string): string {
  const text = encoded.replace(replaced, "%00");
  if (!text.includes("%")) return text;
  return text.replace(percentRun, (run) => {
    try {
      decodeURIComponent(run);
      return run;
    } catch {
      return "%00"; // decodeURIComponent knows one failure only.
    }
  });
}
