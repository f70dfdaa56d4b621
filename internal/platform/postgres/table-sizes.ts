import type { Database } from "./database.ts";

/** How large a table is. */
export interface TableSize {
  /** Its name, with its schema where that is not `public`. A table in partitions counts as one. */
  readonly table: string;
  /** As the server estimates them: exact after each analysis, 0 before the first. */
  readonly rows: number;
  /** With indexes. */
  readonly bytes: number;
}

/** Reads how large the tables of a database are. */
export async function readTableSizes({ sql }: Pick<Database, "sql">): Promise<readonly TableSize[]> {
  const rows = await sql<{ table: string; rows: number; bytes: string }[]>`
    SELECT CASE nspname WHEN 'public' THEN root.relname ELSE nspname || '.' || root.relname END AS table,
      sum(greatest(part.reltuples, 0))::float8 AS rows, coalesce(sum(pg_total_relation_size(part.oid)), 0) AS bytes
    FROM pg_class part JOIN pg_class root ON root.oid = coalesce(pg_partition_root(part.oid), part.oid)
      JOIN pg_namespace ON pg_namespace.oid = root.relnamespace
    WHERE part.relkind = 'r' AND nspname IN ('public', 'platform') GROUP BY 1 ORDER BY 1`;
  return rows.map(({ table, rows: count, bytes }) => ({ table, rows: count, bytes: Number(bytes) }));
}
