import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../testing/eventually.ts";
import { createHeldClock } from "../testing/held-clock.ts";
import { importMutant } from "../testing/mutant.ts";
import * as real from "./service-token.ts";

const minuteMs = 60_000;
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };

const away = (): never => {
  throw new ConnectError("away", Code.Unavailable);
};

/** A service whose secret stands in a file, and an auth that answers `state.answer`, or is away. */
async function setUp({ createServiceToken }: typeof real = real) {
  const folder = await mkdtemp(join(tmpdir(), "muin-secret-"));
  const secretFile = join(folder, "secret");
  await writeFile(secretFile, "s1\n");
  const clock = createHeldClock();
  const state = { secrets: [] as string[], answer: (): string => `t${state.secrets.length}` };
  const token = createServiceToken({
    secretFile,
    renew: async (secret) => {
      state.secrets.push(secret);
      return { token: state.answer(), lifeMs: 15 * minuteMs };
    },
    clock,
    log: silent,
  });
  const current = () => token.current().catch(String);
  /** Lets a renewal come to its end, after which the service sleeps. */
  const settled = () => eventually(() => expect(clock.asleep()).toHaveLength(1));
  return {
    state,
    clock,
    token,
    secretFile,
    current,
    settled,
    [Symbol.asyncDispose]: async () => {
      await token.stop();
      await rm(folder, { recursive: true });
    },
  };
}

describe("a service's token", () => {
  test("is renewed at half its life, by the secret that stands in the file then", async () => {
    await using it = await setUp();
    await it.token.start();
    await it.settled();
    expect([await it.current(), it.clock.asleep()]).toEqual(["t1", [7.5 * minuteMs]]);
    await writeFile(it.secretFile, "s2");
    await it.clock.pass(7.5 * minuteMs);
    await it.settled();
    expect([await it.current(), it.clock.asleep()]).toEqual(["t2", [7.5 * minuteMs]]);
    expect(it.state.secrets).toEqual(["s1", "s2"]);
  });

  test("is got by the first call that needs one, once for all that wait", async () => {
    await using it = await setUp();
    expect(await Promise.all([it.current(), it.current()])).toEqual(["t1", "t1"]);
    expect(it.state.secrets).toHaveLength(1);
  });

  test("that cannot be had is unavailable, and is asked for no more often than every half second", async () => {
    await using it = await setUp();
    it.state.answer = away;
    for (let call = 0; call < 5; call++) expect(await it.current()).toContain("no token");
    expect(it.state.secrets).toHaveLength(1);
    await it.clock.pass(500);
    await it.current();
    expect(it.state.secrets).toHaveLength(2);
    await rm(it.secretFile);
    await it.clock.pass(500);
    expect(await it.current()).toContain("no token");
    await writeFile(it.secretFile, "s1");
  });

  test("serves on for an hour while auth is away, which is asked every 5 seconds; one that refuses, every 30", async () => {
    expect(await servedWhileAway(real)).toEqual({ pauses: [5000, 30_000], at: ["t1", true] });
  });

  test("mutant: without end, it would be shown for ever", async () => {
    const mutant = await importMutant<typeof real>(
      join(import.meta.dir, "service-token.ts"),
      "clock.monotonic() - known.receivedAtMs < serviceTokenGraceMs",
      "true",
    );
    expect((await servedWhileAway(mutant)).at).toEqual(["t1", false]);
  });
});

/** How the pauses are while auth is away and while it refuses, and what is shown just before the hour is over, and then whether nothing is. */
async function servedWhileAway(module: typeof real) {
  await using it = await setUp(module);
  await it.token.start();
  await it.settled();
  it.state.answer = away;
  await it.clock.pass(7.5 * minuteMs);
  await it.settled();
  const [first] = it.clock.asleep();
  it.state.answer = () => {
    throw new ConnectError("withdrawn", Code.Unauthenticated);
  };
  await it.clock.pass(5000);
  await it.settled();
  const [second] = it.clock.asleep();
  await it.clock.pass(52.5 * minuteMs - 5000 - 1);
  await it.settled();
  const before = await it.current();
  await it.clock.pass(1);
  await it.settled();
  return { pauses: [first, second], at: [before, (await it.current()).includes("no token")] };
}
