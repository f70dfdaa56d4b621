/**
 * A relay of an outbox in a process of its own, which kills or stops itself at a chosen moment of its first batch. It says "now" just
 * before, and what came of the batch when it was woken: "published" or "fenced".
 */
import { writeSync } from "node:fs";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { openDatabase } from "../postgres/open-database.ts";
import { FencedError } from "../lease/leases.ts";
import { EventRefusedError } from "../service/event-record.ts";
import { createOutboxRelay } from "./outbox.ts";
import { connectBus, silentLog, silentMetrics } from "./redis/redis-broker-fixture.ts";
import type { Topic } from "./topics.ts";

/** What the process is told, as JSON in its first argument. */
export interface RelayOrder {
  readonly service: string;
  readonly databaseUrl: string;
  readonly busUrl: string;
  readonly topics: readonly Topic[];
  /** Just before the batch is handed to the bus, or between the bus's acknowledgement and the deletion of the batch's rows, or never. */
  readonly moment: "beforePublish" | "afterPublish" | "never";
  readonly signal: "SIGKILL" | "SIGSTOP";
}

const order = JSON.parse(process.argv[2] ?? "") as RelayOrder;
const bus = connectBus(order.busUrl, { instance: "child", topics: order.topics });
await bus.start();
let isFirst = true;
const say = (word: string): number => writeSync(1, `${word}\n`);
const reach = (moment: RelayOrder["moment"]): void => {
  if (!isFirst || moment !== order.moment) return;
  isFirst = false;
  say("now");
  process.kill(process.pid, order.signal);
};
const relay = createOutboxRelay({
  service: order.service,
  database: openDatabase({ url: order.databaseUrl, applicationName: "child" }),
  leases: bus.leases,
  broker: {
    publish: async (records, term) => {
      reach("beforePublish");
      await publishInsistently(() => bus.publish(records, term));
      reach("afterPublish");
      say("published");
    },
  },
  clock: systemClock,
  random: systemRandom,
  log: silentLog,
  metrics: silentMetrics,
});
await relay.start();

/** Publishes until the bus answers: a connection can have been cut while the process was stopped. */
async function publishInsistently(publish: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await publish();
    } catch (error) {
      if (error instanceof EventRefusedError) throw error;
      if (error instanceof FencedError) {
        say("fenced");
        throw error;
      }
      await systemClock.sleep(10);
    }
  }
}
