import { expect, test } from "bun:test";
import { systemClock } from "../clock/clock.ts";
import type { ConsumerGroups } from "../events/consumer-groups.ts";
import type { Leases } from "../lease/leases.ts";
import { SessionRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { topicOf } from "../events/topics.ts";
import { rebuilder } from "../service/parts.ts";
import { silentLog } from "../events/redis/redis-broker-fixture.ts";
import { eventually } from "../testing/eventually.ts";
import { importMutant } from "../testing/mutant.ts";
import * as real from "./rebuild-lost.ts";

/**
 * A consumer was LOST, and retention goes on removing events while it is rebuilt. Returns how many events were removed before the
 * position from which it reads on, and how many its rebuilt state knows of.
 */
async function rebuildWhileEventsGo({ createLostRebuilder }: typeof real) {
  let [removed, isLost, position, known] = [10, true, 0, 0];
  const consumerGroups: ConsumerGroups = {
    states: () =>
      Promise.resolve([
        { service: "watcher", topic: topicOf(SessionRevokedSchema), lag: 0, deadLetters: 0, lost: isLost },
      ]),
    replay: () => {
      [isLost, position] = [false, removed];
      return Promise.resolve(2);
    },
  };
  const leases: Pick<Leases, "leaseholder"> = {
    leaseholder: (lease, work) => {
      const stopping = new AbortController();
      let running: Promise<void> = Promise.resolve();
      return {
        name: lease,
        start: async () => void (running = work({ lease, number: 1 }, stopping.signal)),
        stop: () => {
          stopping.abort();
          return running;
        },
      };
    },
  };
  let ended = 0;
  const component = createLostRebuilder({
    service: "watcher",
    topic: topicOf(SessionRevokedSchema),
    rebuilder: rebuilder([SessionRevokedSchema], () => {
      known = removed;
      removed += 5;
      return Promise.resolve();
    }),
    consumerGroups,
    leases,
    clock: systemClock,
    log: { ...silentLog, warn: () => void ended++ },
  });
  await component.start();
  await eventually(() => expect(ended).toBe(1));
  await component.stop();
  return { position, known };
}

test("what a lost consumer is rebuilt from covers all that was removed before it reads on", async () => {
  const { position, known } = await rebuildWhileEventsGo(real);
  expect(known).toBeGreaterThanOrEqual(position);
});

test("mutant: with one rebuilding before the replay events are missed", async () => {
  const mutant = await importMutant<typeof real>(
    Bun.fileURLToPath(new URL("rebuild-lost.ts", import.meta.url)),
    "no longer marked.\n    await rebuilder.rebuild();",
    "no longer marked.",
  );
  const { position, known } = await rebuildWhileEventsGo(mutant);
  expect(known).toBeLessThan(position);
});
