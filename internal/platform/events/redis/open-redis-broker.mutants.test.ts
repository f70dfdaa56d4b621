import { expect, test } from "bun:test";
import { join } from "node:path";
import { environmentOf, type Mutant } from "../../testing/mutant-process.ts";

const suite = join(import.meta.dir, "open-redis-broker.test.ts");
const inThisFolder = (file: string): string => join(import.meta.dir, file);

/** A rule with the test that fails without it; `within` names the suite where several have a test of that name. */
type RuleMutant = Mutant & { readonly rule: string; readonly caughtBy: string; readonly within?: string };

const mutants: readonly RuleMutant[] = [
  {
    rule: "publish checks the lease term",
    file: inThisFolder("scripts.ts"),
    from: `if ARGV[1] ~= '' and \${isFenced("KEYS[1]", "ARGV[1]")} then return \${fencedReply} end`,
    to: "",
    caughtBy: "a relay that was paused and wakes can publish nothing more",
  },
  {
    rule: "publish checks the lease term where leases are on another server",
    file: inThisFolder("publish-records.ts"),
    from: "if (term !== undefined && !isWithLeases) await leases.verify(term);",
    to: "",
    within: "Broker on Redis Streams, with leases on another server",
    caughtBy: "an old lease term is refused and stores nothing; a lease has one holder",
  },
  {
    rule: "an event of an unknown topic is refused for itself",
    file: inThisFolder("publish-records.ts"),
    from: "if (!topics.has(topic)) throw new EventRefusedError(",
    to: "if (!topics.has(topic)) throw new Error(",
    caughtBy: "an event of an unknown topic, or one too large, is refused for itself, and another is taken",
  },
  {
    rule: "an event that is too large is refused",
    file: inThisFolder("publish-records.ts"),
    from: "if (data.byteLength > eventBytesMax) {",
    to: "if (data.byteLength > 1e9) {",
    caughtBy: "an event of an unknown topic, or one too large, is refused for itself, and another is taken",
  },
  {
    rule: "what the server cannot take at the moment is not refused for itself",
    file: inThisFolder("publish-records.ts"),
    from: "throw isKeySpoilt(error)",
    to: "throw true",
    caughtBy: "an event that comes while the server is away is not refused",
  },
  {
    rule: "a key that the server denies says something of the event, a command does not",
    file: inThisFolder("key-errors.ts"),
    from: " && /\\bkeys?\\b/.test((error as Error).message)",
    to: "",
    caughtBy:
      "an event of a topic whose keys the server denies is refused for itself, and one that no event may be sent with is not",
  },
  {
    rule: "a stream of another type says something of the event",
    file: inThisFolder("key-errors.ts"),
    from: 'code === "WRONGTYPE" ||',
    to: "",
    caughtBy: "an event of a topic that was spoilt by another type in the place of a stream is refused for itself",
  },
  {
    rule: "a partition that cannot be read is seen by operators",
    file: inThisFolder("stream-reader.ts"),
    from: "spoilt.set(cursor, topic, placeOf(topic, cursor), true);",
    to: "",
    caughtBy:
      "a partition whose key is spoilt before the consumers begin keeps no consumer from the others, is named, and goes on once it is good again",
  },
  {
    rule: "a partition that can be read again is seen as good by operators",
    file: inThisFolder("stream-reader.ts"),
    from: "spoilt.set(cursor, topic, placeOf(topic, cursor), false);",
    to: "",
    caughtBy:
      "a partition whose key is spoilt before the consumers begin keeps no consumer from the others, is named, and goes on once it is good again",
  },
  {
    rule: "a consumer group that cannot be read is left out",
    file: inThisFolder("consumer-groups.ts"),
    from: "if (!isKeySpoilt(error)) throw error;",
    to: "throw error;",
    caughtBy: "a consumer group of which the store keeps what cannot be read is named, and hides no other",
  },
  {
    rule: "a stream that takes nothing more says something of the event",
    file: inThisFolder("key-errors.ts"),
    from: "stream has exhausted the last possible ID|",
    to: "",
    caughtBy: "an event of a topic that was spoilt by the last id that there can be is refused for itself",
  },
  {
    rule: "a lease is free only when its end has passed",
    file: inThisFolder("../../lease/redis/lease-script.ts"),
    from: "if till <= now or till > now + life then",
    to: "if true then",
    caughtBy: "an old lease term is refused and stores nothing; a lease has one holder",
  },
  {
    rule: "the position moves after the effect",
    file: inThisFolder("group-handling.ts"),
    from: "await handleInOrder(await handleTogether(events), {",
    to: "const last = events.at(-1); if (last !== undefined) await own.moveTo(last); await handleInOrder(events, {",
    caughtBy: "a holder that is killed is succeeded; what it had not finished comes again",
  },
  {
    rule: "what could not be handled together is handled one by one",
    file: inThisFolder("group-handling.ts"),
    from: "return events.slice(from);",
    to: "return [];",
    caughtBy: "what waits is handled together, in order; where that fails, each by itself",
  },
  {
    rule: "nothing is handled together while a key waits",
    file: inThisFolder("group-handling.ts"),
    from: "if (subscription.handleTogether === undefined || own.hasWaiting()) return events;",
    to: "if (subscription.handleTogether === undefined) return events;",
    caughtBy: "what waits is handled together, in order; where that fails, each by itself",
  },
  {
    rule: "a group that gathers lets its pause pass",
    file: inThisFolder("group-consumer.ts"),
    from: "if (gatherMs > 0 &&",
    to: "if (gatherMs > 1e12 &&",
    caughtBy: "a group that gathers handles together what comes in its pause, and a pause holds up no stop",
  },
  {
    rule: "a reader asks no more often than its subscriber gathers",
    file: inThisFolder("group-consumer.ts"),
    from: "gatherMs: gatherMsOf(subscription),",
    to: "",
    caughtBy: "a group that gathers reads its other partitions as seldom as its pause allows",
  },
  {
    rule: "a parked event's key waits",
    file: inThisFolder("group-handling.ts"),
    from: `if (subscription.onFailure === "parkKey" && own.isWaiting(event.record.subject)) {`,
    to: "if (own === undefined) {",
    caughtBy: "what keeps failing is parked, its key waits in order, and a redrive keeps the order",
  },
  {
    rule: "what stands behind a failure waits in a redrive too",
    file: inThisFolder("parked-events.ts"),
    from: "if (failure !== undefined) subjects.delete(record.subject);",
    to: "",
    caughtBy:
      "of a redrive that fails at one event what stands behind it goes on waiting, and so does what comes meanwhile",
  },
  {
    rule: "events of one key are handled one at a time",
    file: inThisFolder("../handle-in-order.ts"),
    from: "chains.get(item.record.subject);\n    if (chain === undefined) chains.set(item.record.subject, [item]);",
    to: "chains.get(item.record.id);\n    if (chain === undefined) chains.set(item.record.id, [item]);",
    caughtBy: "events of one key are handled one at a time, in order",
  },
  {
    rule: "a removal before the position is noticed",
    file: inThisFolder("group-consumer.ts"),
    from: "if (chunk.removed <= own.position().ordinal) {",
    to: "if (chunk.removed <= Infinity) {",
    caughtBy: "a consumer behind retention is marked lost and goes on with the oldest record",
  },
  {
    rule: "moving the position checks the lease term",
    file: inThisFolder("scripts.ts"),
    from: `name: "events-commit",\n  runsWhenFull: true,\n  keys: 2,\n  lua: \`\nif \${isFenced("KEYS[1]", "ARGV[1]")} then`,
    to: `name: "events-commit",\n  runsWhenFull: true,\n  keys: 2,\n  lua: \`\nif false then`,
    caughtBy: "does not move the position back",
  },
  {
    rule: "parking checks the lease term",
    file: inThisFolder("scripts.ts"),
    from: `name: "events-park",\n  runsWhenFull: true,\n  keys: 4,\n  lua: \`\nif \${isFenced("KEYS[1]", "ARGV[1]")} then`,
    to: `name: "events-park",\n  runsWhenFull: true,\n  keys: 4,\n  lua: \`\nif false then`,
    caughtBy: "parks nothing",
  },
  {
    rule: "ending a redrive checks the lease term",
    file: inThisFolder("scripts.ts"),
    from: `name: "events-redriven",\n  runsWhenFull: true,\n  keys: 5,\n  lua: \`\nif \${isFenced("KEYS[1]", "ARGV[1]")} then`,
    to: `name: "events-redriven",\n  runsWhenFull: true,\n  keys: 5,\n  lua: \`\nif false then`,
    caughtBy: "ends no redrive",
  },
  {
    rule: "moving the position checks the generation",
    file: inThisFolder("scripts.ts"),
    from: `if \${isMoved("KEYS[2]", "ARGV[3]")} then`,
    to: "if false then",
    caughtBy: "a replay in the midst of a long batch ends it, and begins anew",
  },
  {
    rule: "parking checks the generation",
    file: inThisFolder("scripts.ts"),
    from: `if \${isMoved("KEYS[2]", "ARGV[2]")} then return \${movedReply} end\nlocal last`,
    to: "local last",
    caughtBy: "an event that is given up on after a replay is not parked by the old generation: it comes again",
  },
  {
    rule: "ending a redrive checks the generation",
    file: inThisFolder("scripts.ts"),
    from: `if \${isMoved("KEYS[2]", "ARGV[2]")} then return \${movedReply} end\nlocal subject`,
    to: "local subject",
    caughtBy: "a dead letter older than retention that is handled after a replay comes again for the new generation",
  },
  {
    rule: "a consumer looks for a new generation with each batch",
    file: inThisFolder("group-consumer.ts"),
    from: "if (chunk.generation !== own.generation) return;",
    to: "",
    caughtBy: "a replay begins a new generation with the oldest record, in order",
  },
  {
    rule: "a subject's partition comes from its hash",
    file: inThisFolder("keys.ts"),
    from: "return Bun.hash.crc32(subject) % partitions;",
    to: "return Bun.hash.crc32(subject + Math.random()) % partitions;",
    caughtBy: "a call with very many records keeps their order",
  },
  {
    rule: "the number of partitions is fixed",
    file: inThisFolder("topic-opener.ts"),
    from: "if (!isShared) throw eventErrors",
    to: "if (false) throw eventErrors",
    caughtBy: "another number of partitions is refused by name, also to one that came while the server was away",
  },
  {
    rule: "what several may write of the number of partitions stops no start",
    file: inThisFolder("topic-opener.ts"),
    from: "if (!isShared) throw eventErrors",
    to: "if (true) throw eventErrors",
    caughtBy: "another number for the heartbeats stops no start and no other topic, and is said",
  },
  {
    rule: "nothing of a topic that several may write stops a start",
    file: inThisFolder("topic-opener.ts"),
    from: "if (!isShared || !isKeySpoilt(error)) throw error;",
    to: "throw error;",
    caughtBy: "another type in the place of the heartbeats' counts stops no start and no other topic, and is said",
  },
  {
    rule: "a partition that cannot be read is left out",
    file: inThisFolder("stream-reader.ts"),
    from: "if (!isKeySpoilt(error) || !(await setSpoiltAside(wanting, options))) throw error;",
    to: "throw error;",
    caughtBy:
      "a partition whose key is spoilt while they read keeps no consumer from the others, is named, and goes on once it is good again",
  },
  {
    rule: "a partition that cannot be read keeps no instance from beginning",
    file: inThisFolder("scripts.ts"),
    from: "local newest = redis.pcall('XREVRANGE', ARGV[arg + 1],",
    to: "local newest = redis.call('XREVRANGE', ARGV[arg + 1],",
    caughtBy:
      "a partition whose key is spoilt before the consumers begin keeps no consumer from the others, is named, and goes on once it is good again",
  },
  {
    rule: "a partition that cannot be read is tried again",
    file: inThisFolder("stream-reader.ts"),
    from: "clock.monotonic() + spoiltPauseMs",
    to: "Infinity",
    caughtBy:
      "a partition whose key is spoilt while they read keeps no consumer from the others, is named, and goes on once it is good again",
  },
  {
    rule: "a consumer that is behind is nothing to who publishes",
    file: inThisFolder("open-redis-broker.ts"),
    from: "const publish = createPublisher({ ...parts, topics, leases, isWithLeases });",
    to: `const publish = async (...args) => {
      if ((await groups.states()).some(({ lag }) => lag > 999)) throw new Error("full");
      await createPublisher({ ...parts, topics, leases, isWithLeases })(...args);
    };`,
    caughtBy: "a slow, a stuck and a stopped consumer never stop a producer",
  },
  {
    rule: "records are removed by age",
    file: inThisFolder("scripts.ts"),
    from: "string.format('%.0f-0', oldest)",
    to: "'0-0'",
    caughtBy: "a consumer behind retention is marked lost and goes on with the oldest record",
  },
  {
    rule: "records are removed by bytes",
    file: inThisFolder("scripts.ts"),
    from: "if bytes > tonumber(ARGV[3]) and length > 1 then",
    to: "if false then",
    caughtBy: "a topic keeps to its bytes",
  },
  {
    rule: "a lost consumer is marked",
    file: inThisFolder("scripts.ts"),
    from: "if ARGV[6] ~= '' then",
    to: "if false then",
    caughtBy: "a consumer behind the bytes of its topic is lost, and its metric says so",
  },
  {
    rule: "a settled loss is over",
    file: inThisFolder("scripts.ts"),
    from: `redis.call('HDEL', \${group}, 'l' .. \${partition})`,
    to: "",
    caughtBy: "a consumer behind retention is marked lost and goes on with the oldest record",
  },
  {
    rule: "an instance notices what was removed below it",
    file: inThisFolder("instance-consumer.ts"),
    from: "removed > (ordinal ?? known),",
    to: "removed > Infinity,",
    caughtBy:
      "an instance hears that events were removed before it had handled them, then goes on; one that kept up hears nothing",
  },
  {
    rule: "an instance is told until it has dropped what it made",
    file: inThisFolder("instance-consumer.ts"),
    from: "if (missed > 0) await dropAll(partition, missed);",
    to: "if (missed > 0) await subscription.onTrimmed?.().catch(() => undefined);",
    caughtBy:
      "an instance hears that events were removed before it had handled them, then goes on; one that kept up hears nothing",
  },
  {
    rule: "what is away does not count as a failure",
    file: inThisFolder("../handle-event.ts"),
    from: "if (!isAway(error)) failures++;",
    to: "failures++;",
    caughtBy: "a handler that cannot work, since something it needs is away, goes on trying and parks nothing",
  },
  {
    rule: "an event is tried as often as its subscription says",
    file: inThisFolder("../handle-event.ts"),
    from: "if (failures >= subscription.attemptsMax)",
    to: "if (failures >= 1)",
    caughtBy: "what keeps failing is parked, its key waits in order, and a redrive keeps the order",
  },
  {
    rule: "skip lets later events of the key go on",
    file: inThisFolder("group-handling.ts"),
    from: `if (subscription.onFailure === "parkKey" && `,
    to: "if (",
    caughtBy: "with skip later events of the key go on, and the dead letter is redriven alone",
  },
  {
    rule: "a key goes on waiting when its redrive failed",
    file: inThisFolder("parked-events.ts"),
    from: "if (left > 0) waiting.set(subject, left);\n    else waiting.delete(subject);",
    to: "waiting.delete(subject);",
    caughtBy:
      "of a redrive that fails at one event what stands behind it goes on waiting, and so does what comes meanwhile",
  },
  {
    rule: "dead letters are bounded",
    file: inThisFolder("scripts.ts"),
    from: "if redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[3]) then",
    to: "if false then",
    caughtBy: "a consumer with too many dead letters waits until some are redriven, and goes on in order",
  },
  {
    rule: "a page token belongs to its query",
    file: inThisFolder("dead-letters.ts"),
    from: `const query = ["dead letters", service ?? ""];`,
    to: `const query = ["dead letters"];`,
    caughtBy: "dead letters are listed by pages, oldest first, each once",
  },
  {
    rule: "a replay names one consumer",
    file: inThisFolder("consumer-groups.ts"),
    from: "const generation = await replayScript.run(client, keyList, [keys.topic(topic)]);",
    to: `for (const other of await list()) {
        if (other.topic !== topic || other.service === service) continue;
        await replayScript.run(client, [keys.group(other.service, topic), ...perPartition], [keys.topic(topic)]);
      }
      const generation = await replayScript.run(client, keyList, [keys.topic(topic)]);`,
    caughtBy: "a replay is that of one consumer: another of the topic sees nothing of it",
  },
  {
    rule: "an instance reads on from its place",
    file: inThisFolder("instance-consumer.ts"),
    from: "return { ...stored, id, ordinal, missed: 0 };",
    to: "return { ...fresh, missed: 0 };",
    caughtBy: "an instance reads on from where it came, though its process ended",
  },
  {
    rule: "an instance keeps its place behind what it handled",
    file: inThisFolder("instance-consumer.ts"),
    from: "place.move(events.map(({ id }) => id));\n      keep();",
    to: "place.move(events.map(({ id }) => id));",
    caughtBy: "an instance reads on from where it came, though its process ended",
  },
  {
    rule: "what was removed behind a place is not passed over",
    file: inThisFolder("instance-consumer.ts"),
    from: "missed: Math.max(1, removed - ordinal)",
    to: "missed: 0",
    caughtBy: "an instance hears that what followed its place was removed, and reads on as one that has none",
  },
  {
    rule: "a place says to which store it belongs",
    file: inThisFolder("instance-consumer.ts"),
    from: "const isAnother = ordinal > added ||",
    to: "const isAnother = ordinal < 0 &&",
    caughtBy: "a place of another store is none",
  },
  {
    rule: "an instance begins so far back as it says",
    file: inThisFolder("instance-consumer.ts"),
    from: "Math.max(0, nowMs - backMs)",
    to: "nowMs",
    caughtBy: "everyInstance begins so far back as it says and is caught up after it",
  },
  {
    rule: "a heartbeat comes every 500 ms",
    file: inThisFolder("../heartbeat.ts"),
    from: "const heartbeatMs = 500;",
    to: "const heartbeatMs = 600;",
    caughtBy: "a heartbeat is sent every 500 ms, and by another process when its sender has gone",
  },
];

test.concurrent.each(mutants)(
  "mutant: without the rule that $rule, a test fails",
  async ({ caughtBy, within = "", ...mutant }) => {
    const pattern = `${within} ${caughtBy}`.trim().replaceAll(/[;:]/g, ".");
    const run = Bun.spawn([process.execPath, "test", "--timeout", "30000", suite, "-t", pattern], {
      env: environmentOf(mutant),
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const output = await new Response(run.stderr).text();
    expect(output).toMatch(new RegExp(`\\(fail\\) [^>]+ > ${RegExp.escape(caughtBy)}`));
    expect(await run.exited).toBe(1);
  },
);
