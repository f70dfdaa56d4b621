import { expect, test } from "bun:test";
import { join } from "node:path";
import type { Mutant } from "./mutant-preload.ts";

const preload = Bun.fileURLToPath(new URL("mutant-preload.ts", import.meta.url));
const suite = join(import.meta.dir, "redis-event-bus.test.ts");
const inThisFolder = (file: string): string => join(import.meta.dir, file);

const mutants: readonly (Mutant & { readonly rule: string; readonly caughtBy: string })[] = [
  {
    rule: "publish checks the fence",
    file: inThisFolder("redis-scripts.ts"),
    from: `if ARGV[1] ~= '' and \${isFenced("KEYS[1]", "ARGV[1]")} then return \${fencedReply} end`,
    to: "",
    caughtBy: "a relay that was paused and wakes can publish nothing more",
  },
  {
    rule: "a lease is free only when its end has passed",
    file: inThisFolder("redis-scripts.ts"),
    from: "if till <= now or till > now + life then",
    to: "if true then",
    caughtBy: "an outdated fence is refused and stores nothing; a lease has one holder",
  },
  {
    rule: "the position moves after the effect",
    file: inThisFolder("redis-consumer.ts"),
    from: "await handleInOrder(await handleTogether(items), {\n        isWanted: ({ record }) => types.has(record.type),\n        handle,",
    to: "const last = items.at(-1); if (last !== undefined) await commit(last.id, last.ordinal, false); await handleInOrder(items, { isWanted: ({ record }) => types.has(record.type), handle,",
    caughtBy: "a holder that is killed is succeeded; what it had not finished comes again",
  },
  {
    rule: "what could not be handled together is handled one by one",
    file: inThisFolder("redis-consumer.ts"),
    from: "return items.slice(from);",
    to: "return [];",
    caughtBy: "what waits is handled together, in order; where that fails, each by itself",
  },
  {
    rule: "nothing is handled together while a key waits",
    file: inThisFolder("redis-consumer.ts"),
    from: "if (subscription.handleTogether === undefined || waiting.size > 0) return items;",
    to: "if (subscription.handleTogether === undefined) return items;",
    caughtBy: "what waits is handled together, in order; where that fails, each by itself",
  },
  {
    rule: "a parked event's key waits",
    file: inThisFolder("redis-consumer.ts"),
    from: `if (subscription.onFailure === "parkKey" && (waiting.get(item.record.subject) ?? 0) > 0) {`,
    to: "if (waiting.size < 0) {",
    caughtBy: "what keeps failing is parked, its key waits in order, and a redrive keeps the order",
  },
  {
    rule: "what stands behind a failure waits in a redrive too",
    file: inThisFolder("redis-consumer.ts"),
    from: "if (failure !== undefined) subjects.delete(record.subject);",
    to: "",
    caughtBy:
      "of a redrive that fails at one event what stands behind it goes on waiting, and so does what comes meanwhile",
  },
  {
    rule: "a position that was refused in the midst of a batch is no unhandled error",
    file: inThisFolder("redis-consumer.ts"),
    from: "telling.catch(() => undefined);",
    to: "",
    caughtBy: "a replay in the midst of a long batch ends it, and begins anew",
  },
  {
    rule: "events of one key are handled one at a time",
    file: inThisFolder("redis-consumer.ts"),
    from: "chains.get(item.record.subject)",
    to: "chains.get(item.id)",
    caughtBy: "a holder that was paused and wakes changes nothing: first occurrences stay in order",
  },
  {
    rule: "a removal before the position is noticed",
    file: inThisFolder("redis-consumer.ts"),
    from: "if (batch.removed <= ordinal) {",
    to: "if (batch.removed <= Infinity) {",
    caughtBy: "a consumer behind retention is marked lost and goes on with the oldest record",
  },
];

test.concurrent.each(mutants)("mutant: without the rule that $rule, a test fails", async ({ caughtBy, ...mutant }) => {
  const run = Bun.spawn(
    [process.execPath, "test", "--timeout", "30000", suite, "-t", caughtBy.replaceAll(/[;:]/g, ".")],
    {
      env: { ...process.env, BUN_OPTIONS: `--preload=${preload}`, MUIN_TEST_MUTANT: JSON.stringify(mutant) },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    },
  );
  const output = await new Response(run.stderr).text();
  expect(output).toContain(`(fail) EventBus on Redis Streams > ${caughtBy}`);
  expect(await run.exited).toBe(1);
});
