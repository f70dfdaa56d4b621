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
  {
    rule: "moving the position checks the fence",
    file: inThisFolder("redis-scripts.ts"),
    from: `name: "events-commit",\n  keys: 2,\n  lua: \`\nif \${isFenced("KEYS[1]", "ARGV[1]")} then`,
    to: `name: "events-commit",\n  keys: 2,\n  lua: \`\nif false then`,
    caughtBy: "does not move the position back",
  },
  {
    rule: "parking checks the fence",
    file: inThisFolder("redis-scripts.ts"),
    from: `name: "events-park",\n  keys: 4,\n  lua: \`\nif \${isFenced("KEYS[1]", "ARGV[1]")} then`,
    to: `name: "events-park",\n  keys: 4,\n  lua: \`\nif false then`,
    caughtBy: "parks nothing",
  },
  {
    rule: "ending a redrive checks the fence",
    file: inThisFolder("redis-scripts.ts"),
    from: `name: "events-redriven",\n  keys: 5,\n  lua: \`\nif \${isFenced("KEYS[1]", "ARGV[1]")} then`,
    to: `name: "events-redriven",\n  keys: 5,\n  lua: \`\nif false then`,
    caughtBy: "ends no redrive",
  },
  {
    rule: "moving the position checks the generation",
    file: inThisFolder("redis-scripts.ts"),
    from: `if \${isMoved("KEYS[2]", "ARGV[3]")} then`,
    to: "if false then",
    caughtBy: "a replay in the midst of a long batch ends it, and begins anew",
  },
  {
    rule: "parking checks the generation",
    file: inThisFolder("redis-scripts.ts"),
    from: `if \${isMoved("KEYS[2]", "ARGV[2]")} then return \${movedReply} end\nlocal last`,
    to: "local last",
    caughtBy: "an event that is given up on after a replay is not parked by the old generation: it comes again",
  },
  {
    rule: "ending a redrive checks the generation",
    file: inThisFolder("redis-scripts.ts"),
    from: `if \${isMoved("KEYS[2]", "ARGV[2]")} then return \${movedReply} end\nlocal subject`,
    to: "local subject",
    caughtBy: "a dead letter older than retention that is handled after a replay comes again for the new generation",
  },
  {
    rule: "a consumer looks for a new generation with each batch",
    file: inThisFolder("redis-consumer.ts"),
    from: "if (batch.generation !== generation) return;",
    to: "",
    caughtBy: "a replay begins a new generation with the oldest record, in order",
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
  expect(output).toMatch(new RegExp(`\\(fail\\) [^>]+ > ${RegExp.escape(caughtBy)}`));
  expect(await run.exited).toBe(1);
});
