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
  {
    rule: "a subject's partition comes from its hash",
    file: inThisFolder("redis-keys.ts"),
    from: "return Bun.hash.crc32(subject) % partitions;",
    to: "return Bun.hash.crc32(subject + Math.random()) % partitions;",
    caughtBy: "a call with very many records keeps their order",
  },
  {
    rule: "the number of partitions is fixed",
    file: inThisFolder("redis-event-bus.ts"),
    from: "if (recorded === partitions) return;",
    to: "return;",
    caughtBy: "another number of partitions is refused by name, also to one that came while the server was away",
  },
  {
    rule: "a consumer that is behind is nothing to who publishes",
    file: inThisFolder("redis-event-bus.ts"),
    from: "meters.published.add(chunk.length);",
    to: `for (const state of await Promise.all((await groups()).map(stateOf))) if (state.lag > 999) throw new Error("full");`,
    caughtBy: "a slow, a stuck and a stopped consumer never stop a producer",
  },
  {
    rule: "records are removed by age",
    file: inThisFolder("redis-scripts.ts"),
    from: "string.format('%.0f-0', oldest)",
    to: "'0-0'",
    caughtBy: "a consumer behind retention is marked lost and goes on with the oldest record",
  },
  {
    rule: "records are removed by bytes",
    file: inThisFolder("redis-scripts.ts"),
    from: "if bytes > tonumber(ARGV[3]) and length > 1 then",
    to: "if false then",
    caughtBy: "a topic keeps to its bytes",
  },
  {
    rule: "a lost consumer is marked",
    file: inThisFolder("redis-scripts.ts"),
    from: "if ARGV[6] == '1' then",
    to: "if false then",
    caughtBy: "a consumer behind the bytes of its topic is lost, and its metric says so",
  },
  {
    rule: "what is away does not count as a failure",
    file: inThisFolder("redis-consumer.ts"),
    from: "if (!isPassing(error)) counted++;",
    to: "counted++;",
    caughtBy: "a handler that cannot work, since something it needs is away, goes on trying and parks nothing",
  },
  {
    rule: "an event is tried as often as its subscription says",
    file: inThisFolder("redis-consumer.ts"),
    from: "if (counted >= subscription.attemptsMax)",
    to: "if (counted >= 1)",
    caughtBy: "what keeps failing is parked, its key waits in order, and a redrive keeps the order",
  },
  {
    rule: "skip lets later events of the key go on",
    file: inThisFolder("redis-consumer.ts"),
    from: `if (subscription.onFailure === "parkKey" && `,
    to: "if (",
    caughtBy: "with skip later events of the key go on, and the dead letter is redriven alone",
  },
  {
    rule: "a key goes on waiting when its redrive failed",
    file: inThisFolder("redis-consumer.ts"),
    from: "if (left > 0) waiting.set(subject, left);\n        else waiting.delete(subject);",
    to: "waiting.delete(subject);",
    caughtBy:
      "of a redrive that fails at one event what stands behind it goes on waiting, and so does what comes meanwhile",
  },
  {
    rule: "a replay names one consumer",
    file: inThisFolder("redis-event-bus.ts"),
    from: "const generation = await replayScript.run(",
    to: `for (const group of await groups()) {
      const [other = "", its = ""] = group.split(" ");
      if (its === topic && other !== service) {
        await replayScript.run(client, [keys.group(other, topic), keys.topic(topic), ...perPartition], []);
      }
    }
    const generation = await replayScript.run(`,
    caughtBy: "a replay is that of one consumer: another of the topic sees nothing of it",
  },
  {
    rule: "an instance begins so far back as it says",
    file: inThisFolder("redis-consumer.ts"),
    from: "Math.max(0, nowMs - backMs)",
    to: "nowMs",
    caughtBy: "everyInstance begins so far back as it says and is caught up after it",
  },
  {
    rule: "a heartbeat comes every 500 ms",
    file: inThisFolder("redis-event-bus.ts"),
    from: "const heartbeatMs = 500;",
    to: "const heartbeatMs = 600;",
    caughtBy: "a heartbeat is sent every 500 ms, and by another process when its sender has gone",
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
