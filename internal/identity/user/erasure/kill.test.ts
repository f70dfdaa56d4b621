import { isMessage } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { UserStatusChangedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { operator, startUser, type UserFixture } from "../user-fixture.ts";

setDefaultTimeout(30_000);

const childFile = Bun.fileURLToPath(new URL("kill-child.ts", import.meta.url));

let user: UserFixture;
beforeAll(async () => {
  user = await startUser();
  await user.database.sql`CREATE TABLE destroyed_keys (person_id text NOT NULL)`;
});
afterAll(() => user[Symbol.asyncDispose]());

/** Runs a process that deletes a person, until it prints a line; kills it there. */
async function runUntil(line: string, userId: string, ...args: readonly string[]): Promise<void> {
  const child = Bun.spawn([process.execPath, childFile, user.url, userId, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  let text = "";
  for await (const chunk of child.stdout) {
    text += Buffer.from(chunk).toString();
    if (text.includes(`${line}\n`)) break;
  }
  child.kill("SIGKILL");
  await child.exited;
  expect(text).toBe(`${line}\n`);
}

/** What is there of a deletion: the person, the erasures, the announcements of their status, and whether their key is gone. */
async function factsOf(userId: string): Promise<readonly unknown[]> {
  const { user: person } = await user.as(operator).getUser({ userId });
  const erasures = await user.database.sql<{ state: string }[]>`SELECT state FROM erasures WHERE user_id = ${userId}`;
  const announced = (await user.events()).filter(
    (event) => isMessage(event, UserStatusChangedSchema) && event.userId === userId,
  );
  const keys = await user.database.sql`SELECT FROM destroyed_keys WHERE person_id = ${userId}`;
  return [
    person?.status === UserStatus.DELETED ? "deleted" : "there",
    erasures.map(({ state }) => state).join(" "),
    announced.length,
    keys.count > 0,
  ];
}

describe("a deletion whose process is killed", () => {
  test.each<[step: string, facts: readonly unknown[]]>([
    ["begin", ["there", "", 0, false]],
    ["begun", ["deleted", "ERASING", 1, false]],
    ["confirm auth", ["deleted", "ERASING", 1, false]],
    ["confirmed auth", ["deleted", "ERASING", 1, false]],
    ["confirm branch-owner", ["deleted", "ERASING", 1, false]],
    ["confirmed branch-owner", ["deleted", "DESTROYING_KEY", 1, false]],
    ["destroy", ["deleted", "DESTROYING_KEY", 1, false]],
    ["destroyed", ["deleted", "DESTROYING_KEY", 1, true]],
  ])("at %p has left a state from which it is finished", async (step, facts) => {
    const { id } = await user.signUp();
    await runUntil(step, id, step);
    expect(await factsOf(id)).toEqual(facts);
    await runUntil("done", id, "");
    expect(await factsOf(id)).toEqual(["deleted", "DONE", 1, true]);
  });

  test("mutant: one whose erasure is begun in a transaction of its own is noticed", async () => {
    const { id } = await user.signUp();
    await runUntil("begin", id, "begin", "apart");
    expect(await factsOf(id)).toEqual(["deleted", "", 1, false]);
  });
});
