import type { Sql } from "../../platform/postgres/database.ts";

/** The condition that count_id begins with `prefix`, as a range that the primary key's index serves; nothing for "". */
export function withPrefix(sql: Sql, prefix: string) {
  if (prefix === "") return sql``;
  // Ids are ASCII below "~": the last character has a successor.
  const end = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
  return sql`AND count_id >= ${prefix} AND count_id < ${end}`;
}
