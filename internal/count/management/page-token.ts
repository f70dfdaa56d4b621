import { isCountId } from "./count-info.ts";
import { invalidPageToken } from "./errors.ts";

/** Bytes of a query's hash inside a token: enough that no two queries of one caller meet by chance. */
const queryHashBytes = 12;

/** An opaque token that continues `query` after the id `after`. */
export function pageTokenOf(query: readonly unknown[], after: string): string {
  return Buffer.concat([hashOf(query), Buffer.from(after)]).toString("base64url");
}

/** The id after which the page begins; empty for the first page. Throws INVALID_ARGUMENT for a token of another query. */
export function afterOf(query: readonly unknown[], token: string): string {
  if (token === "") return "";
  const bytes = Buffer.from(token, "base64url");
  const after = bytes.subarray(queryHashBytes).toString();
  // Encoding again refuses characters that the decoder passes over.
  if (!isCountId(after) || pageTokenOf(query, after) !== token) throw invalidPageToken();
  return after;
}

function hashOf(query: readonly unknown[]): Buffer {
  return Buffer.from(new Bun.CryptoHasher("sha256").update(JSON.stringify(query)).digest()).subarray(0, queryHashBytes);
}
