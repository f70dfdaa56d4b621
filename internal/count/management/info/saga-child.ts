/**
 * A process that changes Counts until it is killed, for the test of the saga. Arguments: URL of CountInfoDB, URL of the counts
 * Redis, seed. Prints a line for each acknowledged change: operation, count_id, version.
 */
import type { CountInfo } from "../../../gen/muin/count/v1/count_pb.ts";
import type { CreateCountResponse } from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { createPublish } from "../../../platform/events/outbox.ts";
import { openDatabase } from "../../../platform/postgres/open-database.ts";
import { openRedis } from "../../../platform/redis/open-redis.ts";
import { createCountStates } from "../../shared/count-states.ts";
import { createCountChanges } from "./rules.ts";
import type { Mutation } from "./plan.ts";
import { activateInCountsStore, createInCountsStore, decideInCountsStore } from "./counts-store.ts";
import { createCreations } from "./creations.ts";
import { announceCount, announceCreated } from "../events.ts";
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
const parts = {
  database: info,
  infos: createPostgresInfoStore(info),
  requests: createPostgresRequestStore({ sql: info.sql, windowMs: 600_000 }),
  log: silent,
};
const creations = createCreations({
  ...parts,
  admit: (countIds) => Promise.resolve(countIds.map(() => undefined)),
  decide: (changes) => createInCountsStore(states, changes),
  activate: (changes) => activateInCountsStore(states, changes),
  announce: (tx, created) => announceCreated(publish, tx, created),
});
const changes = createCountChanges({
  ...parts,
  decide: (change) => decideInCountsStore(states, change),
  creations,
  admit: () => Promise.resolve(),
  announce: (tx, change, record) => announceCount(publish, tx, change.operation, record),
  turns: { run: (work) => work() },
});

let state = Number(seed);
/** A linear congruential generator: the seed replays the order of what is asked for. */
const next = (below: number): number => {
  state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
  return Math.floor((state / 2_147_483_648) * below);
};
const content = { displayName: "", labels: {}, minValue: undefined, maxValue: undefined };
const request = { principal: "child", requestId: "", fingerprint: new Uint8Array() };
const randomMutation = (): Mutation => {
  const countId = `k${next(20)}`;
  const operations: readonly Mutation[] = [
    { operation: "UPDATE", countId, etag: "", patch: { maxValue: BigInt(50 + next(100)) } },
    { operation: "DELETE", countId, etag: "" },
    { operation: "UNDELETE", countId, etag: "" },
  ];
  return operations[next(operations.length)] as Mutation;
};
const tell = (operation: string, answer: CreateCountResponse): void => {
  const { countId, etag } = answer.countInfo as CountInfo;
  process.stdout.write(`${operation} ${countId} ${etag.slice(1)}\n`);
};
/** Creates a few Counts at once, of which there are the more the longer it runs. */
const createSome = async (): Promise<void> => {
  const ids = new Set(Array.from({ length: 1 + next(8) }, () => `k${next(20 + created)}`));
  created += 1;
  const asked = Array.from(ids, (countId) => ({
    countId,
    content,
    initialValue: BigInt(next(100)),
    request,
    within: <T>(run: () => T): T => run(),
  }));
  for (const result of await creations.create(asked)) {
    if (!(result instanceof Error) && !("refused" in result)) tell("CREATE", result);
  }
};
let created = 0;
const work = async (): Promise<void> => {
  for (;;) {
    if (next(3) === 0) {
      await createSome();
      continue;
    }
    const mutation = randomMutation();
    try {
      const answer = await changes.mutate(mutation, request);
      if ("refused" in answer) continue; // By the Count's state: the next one may be allowed.
      tell(mutation.operation, answer);
    } catch {
      // A store is away or its outcome is not known: whoever comes next finds the change.
    }
  }
};
await Promise.all(Array.from({ length: 4 }, work));
