import type { Migration } from "../../platform/postgres/database.ts";
import users from "./migrations/0001_users.sql" with { type: "text" };
import epochs from "./migrations/0002_epochs.sql" with { type: "text" };

/** User's schema, in the order in which it is applied. */
export const migrations: readonly Migration[] = [
  { name: "0001_users", sql: users },
  { name: "0002_epochs", sql: epochs },
];
