import { expect, test } from "bun:test";
import { topicsAcross } from "../../platform/testing/moved-topics.ts";
import { migrations } from "./migrations.ts";

/** Message, topic before, topic after. */
const moved = [
  ["muin.identity.v1.UserDataErased", "identity.user", "erasure.branch-owner"],
  ["muin.identity.v1.BranchCreated", "identity.branch", "identity.branch"],
] as const;

test("what waits in the outbox for a topic of before goes to that of now", async () => {
  const rows = await topicsAcross(migrations, "0002_own_topics", moved);
  expect(rows).toEqual(moved.map(([type, , topic]) => [type, topic]));
});
