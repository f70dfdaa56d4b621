import type { Migration } from "../../platform/postgres/database.ts";
import faces from "./migrations/0001_faces.sql" with { type: "text" };
import erasures from "./migrations/0002_erasures.sql" with { type: "text" };
import renewals from "./migrations/0003_renewals.sql" with { type: "text" };
import erasedRequests from "./migrations/0004_erased_requests.sql" with { type: "text" };
import templateDigests from "./migrations/0005_template_digests.sql" with { type: "text" };

/** mlops' schema, in the order in which it is applied. */
export const migrations: readonly Migration[] = [
  { name: "0001_faces", sql: faces },
  { name: "0002_erasures", sql: erasures },
  { name: "0003_renewals", sql: renewals },
  { name: "0004_erased_requests", sql: erasedRequests },
  { name: "0005_template_digests", sql: templateDigests },
];
