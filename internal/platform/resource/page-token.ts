import { resourceErrors } from "./errors.ts";

/** Page size when the caller names none. */
export const pageSizeDefault = 100;

/** Bytes of a query's hash inside a token: enough that no two queries of one caller meet by chance. */
const queryHashBytes = 12;

/** An opaque token that continues `query`, the method's name and all its filters, after the id `after`. */
export function pageTokenOf(query: readonly unknown[], after: string): string {
  return Buffer.concat([hashOf(query), Buffer.from(after)]).toString("base64url");
}

/**
 * The id after which the page begins; empty for the first page. Throws INVALID_ARGUMENT for a token of another query, and for a made-up
 * one whose text `isId` does not take.
 */
export function afterOf(query: readonly unknown[], token: string, isId: (text: string) => boolean = isText): string {
  if (token === "") return "";
  const after = Buffer.from(token, "base64url").subarray(queryHashBytes).toString();
  // Encoding again refuses what the decoder passes over, and bytes that are no text.
  if (!isText(after) || !isId(after) || pageTokenOf(query, after) !== token) {
    throw resourceErrors.pageTokenInvalid({
      violations: [{ field: "page_token", description: "belongs to another query" }],
    });
  }
  return after;
}

/**
 * A page of at most `pageSize` rows (0: the default) with the token of the next one, empty on the last. `read` gets one row more than
 * a page has, to see whether there are more. `isId` tells what can be an id: tokens are no secrets, and anybody can make one.
 */
export async function pageOf<T>(
  query: readonly unknown[],
  request: { readonly pageSize: number; readonly pageToken: string },
  read: (after: string, limit: number) => Promise<readonly T[]>,
  idOf: (row: T) => string,
  isId?: (text: string) => boolean,
): Promise<{ readonly page: readonly T[]; readonly nextPageToken: string }> {
  const pageSize = request.pageSize === 0 ? pageSizeDefault : request.pageSize;
  const rows = await read(afterOf(query, request.pageToken, isId), pageSize + 1);
  const page = rows.slice(0, pageSize);
  const last = page.at(-1);
  return { page, nextPageToken: rows.length > pageSize && last !== undefined ? pageTokenOf(query, idOf(last)) : "" };
}

function isText(text: string): boolean {
  return text !== "" && !text.includes("\0");
}

function hashOf(query: readonly unknown[]): Buffer {
  return Buffer.from(new Bun.CryptoHasher("sha256").update(JSON.stringify(query)).digest()).subarray(0, queryHashBytes);
}
