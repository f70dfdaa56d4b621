import type { Migration } from "../../platform/postgres/database.ts";
import countInfo from "./migrations/0001_count_info.sql" with { type: "text" };
import countWatch from "./migrations/0002_count_watch.sql" with { type: "text" };
import epochs from "./migrations/0003_epochs.sql" with { type: "text" };

/** CountInfoDB's schema, in the order in which it is applied. */
export const migrations: readonly Migration[] = [
  { name: "0001_count_info", sql: countInfo },
  { name: "0002_count_watch", sql: countWatch },
  { name: "0003_epochs", sql: epochs },
];
