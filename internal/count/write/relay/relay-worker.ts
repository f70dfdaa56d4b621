import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { FencedError } from "../../../platform/lease/leases.ts";
import { openRedis } from "../../../platform/redis/open-redis.ts";
import { createMetrics } from "../../../platform/telemetry/create-metrics.ts";
import { readLayout } from "../../shared/count-store.ts";
import { openBus, silent } from "../count-fixture.ts";
import { createOutboxRelay } from "./relay.ts";

/** What the process is to do. */
export interface RelayOrder {
  readonly counts: string;
  readonly events: string;
  /** Publish without the lease term, as a relay must not. */
  readonly isUnfenced: boolean;
}

// A relay in a process of its own, to be paused: it says "publishing" just before its first publish, waits for a line, and says
// what came of it.
const say = (word: string): boolean => process.stdout.write(`${word}\n`);
const order = JSON.parse(process.argv[2] ?? "") as RelayOrder;
const store = openRedis({ url: order.counts, name: "worker" });
await store.start();
const layout = await readLayout(store);
const bus = openBus(order.events, "worker");
await bus.start();
let isFirst = true;
const relay = createOutboxRelay({
  store,
  layout: () => layout,
  leases: bus.leases,
  broker: {
    publish: async (records, term) => {
      if (!isFirst) return bus.publish(records, term);
      isFirst = false;
      say("publishing");
      for await (const _ of console) break;
      try {
        await bus.publish(records, order.isUnfenced ? undefined : term);
        say("published");
      } catch (error) {
        say(error instanceof FencedError ? "fenced" : "failed");
        throw error;
      }
    },
  },
  clock: systemClock,
  random: systemRandom,
  log: silent,
  metrics: createMetrics(),
});
await relay.start();
