/**
 * A process that changes Counts until it is killed, for the test of the saga. Arguments: URL of CountInfoDB, URL of the counts
 * Redis, seed. Prints a line for each acknowledged change: operation, count_id, version.
 */
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { createPublish } from "../../../platform/events/outbox.ts";
import { openDatabase } from "../../../platform/postgres/open-database.ts";
import { openRedis } from "../../../platform/redis/open-redis.ts";
import { createCountStates } from "../../shared/count-states.ts";
import { createCountChanges } from "./rules.ts";
import type { Mutation } from "./plan.ts";
import { activateInCountsStore, decideInCountsStore } from "./counts-store.ts";
import { announceCount } from "../events.ts";
import { createPostgresInfoStore } from "./store-postgres.ts";
import { createPostgresRequestStore } from "../request/store-postgres.ts";

const [infoUrl = "", countsUrl = "", seed = "1"] = process.argv.slice(2);
const info = openDatabase({ url: infoUrl, applicationName: "child", poolMax: 8 });
const counts = openRedis({ url: countsUrl, name: "child" });
await counts.start();
const states = createCountStates(counts, { outboxBytesMax: 256 * 1024 * 1024 });
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
const publish = createPublish({
  source: "/muin/count-management",
  clock: systemClock,
  random: systemRandom,
  currentTraceparent: () => "",
});
const changes = createCountChanges({
  database: info,
  infos: createPostgresInfoStore(info),
  requests: createPostgresRequestStore({ sql: info.sql, windowMs: 600_000 }),
  decide: (change) => decideInCountsStore(states, change),
  activate: (change) => activateInCountsStore(states, change),
  admit: () => Promise.resolve(),
  announce: (tx, change, record) => announceCount(publish, tx, change.operation, record),
  turns: { run: (work) => work() },
  log: silent,
});

let state = Number(seed);
/** A linear congruential generator: the seed replays the order of what is asked for. */
const next = (below: number): number => {
  state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
  return Math.floor((state / 2_147_483_648) * below);
};
const content = { displayName: "", labels: {}, minValue: undefined, maxValue: undefined };
const randomMutation = (): Mutation => {
  const countId = `k${next(20)}`;
  const operations: readonly Mutation[] = [
    { operation: "CREATE", countId, content, initialValue: BigInt(next(100)) },
    { operation: "UPDATE", countId, etag: "", patch: { maxValue: BigInt(50 + next(100)) } },
    { operation: "DELETE", countId, etag: "" },
    { operation: "UNDELETE", countId, etag: "" },
  ];
  return operations[next(operations.length)] as Mutation;
};
const work = async (): Promise<void> => {
  for (;;) {
    const mutation = randomMutation();
    const request = { principal: "child", requestId: "", fingerprint: new Uint8Array() };
    try {
      const answer = await changes.mutate(mutation, request);
      if ("refused" in answer) continue; // By the Count's state: the next one may be allowed.
      process.stdout.write(`${mutation.operation} ${mutation.countId} ${answer.countInfo?.etag.slice(1)}\n`);
    } catch {
      // A store is away or its outcome is not known: whoever comes next finds the change.
    }
  }
};
await Promise.all(Array.from({ length: 4 }, work));
