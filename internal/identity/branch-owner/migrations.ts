import type { Migration } from "../../platform/postgres/database.ts";
import branches from "./migrations/0001_branches.sql" with { type: "text" };
import epochs from "./migrations/0003_epochs.sql" with { type: "text" };
import ownTopics from "./migrations/0002_own_topics.sql" with { type: "text" };

/** branch-owner's schema, in the order in which it is applied. */
export const migrations: readonly Migration[] = [
  { name: "0001_branches", sql: branches },
  { name: "0002_own_topics", sql: ownTopics },
  { name: "0003_epochs", sql: epochs },
];
