import type { Migration } from "../../platform/postgres/database.ts";
import entries from "./migrations/0001_entries.sql" with { type: "text" };

/** access's schema, in the order in which it is applied. */
export const migrations: readonly Migration[] = [{ name: "0001_entries", sql: entries }];
