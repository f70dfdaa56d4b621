import { expect, test } from "bun:test";
import { systemClock } from "../clock/clock.ts";
import type { ConsumerGroups } from "../events/consumer-groups.ts";
import type { Leases } from "../lease/leases.ts";
import { silentLog } from "../events/redis/redis-broker-fixture.ts";
import { eventually } from "../testing/eventually.ts";
import { importMutant } from "../testing/mutant.ts";
import * as real from "./rebuild-lost.ts";

/** Every lease is free. */
const runsAtOnce: Pick<Leases, "leaseholder"> = {
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

/**
 * A consumer was LOST, and retention goes on removing events while it is rebuilt. Returns how many events were removed before the
 * position from which it reads on, and how many its rebuilt state knows of.
 */
async function rebuildWhileEventsGo({ createLostRebuilder }: typeof real) {
  let [removed, isLost, position, known] = [10, true, 0, 0];
  const consumerGroups: ConsumerGroups = {
    states: () =>
      Promise.resolve([{ service: "watcher", topic: "watched", lag: 0, deadLetters: 0, lost: isLost, lostSinceMs: 0 }]),
    settle: () => Promise.reject(new Error("not asked for")),
    replay: () => {
      [isLost, position] = [false, removed];
      return Promise.resolve(2);
    },
  };
  let ended = 0;
  const component = createLostRebuilder({
    service: "watcher",
    topics: [
      {
        topic: "watched",
        isState: false,
        rebuild: () => {
          known = removed;
          removed += 5;
          return Promise.resolve();
        },
      },
    ],
    ask: () => Promise.resolve(),
    consumerGroups,
    leases: runsAtOnce,
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
    "no longer marked.\n    await rebuildOwn?.();",
    "no longer marked.",
  );
  const { position, known } = await rebuildWhileEventsGo(mutant);
  expect(known).toBeLessThan(position);
});

/** A LOST consumer of what can be neither rebuilt nor told again; what was done about it, in order. */
async function loseFacts({ createLostRebuilder }: typeof real): Promise<readonly string[]> {
  const done: string[] = [];
  let isLost = true;
  const component = createLostRebuilder({
    service: "watcher",
    topics: [{ topic: "watched", isState: false, rebuild: undefined }],
    ask: async () => void done.push("asked"),
    consumerGroups: {
      states: () =>
        Promise.resolve([
          { service: "watcher", topic: "watched", lag: 0, deadLetters: 0, lost: isLost, lostSinceMs: 86_400_000 },
        ]),
      replay: async () => {
        done.push("replayed");
        return 2;
      },
      settle: async (service, topic) => {
        isLost = false;
        done.push(`settled ${topic} of ${service}`);
      },
    },
    leases: runsAtOnce,
    clock: systemClock,
    log: { ...silentLog, error: (text, fields) => void done.push(`${text} ${JSON.stringify(fields)}`) },
  });
  await component.start();
  await eventually(() => expect(done.length).toBeGreaterThan(1));
  await component.stop();
  return done;
}

test("of facts it is said since when they are lost, and the consumer goes on where it stands", async () => {
  expect(await loseFacts(real)).toEqual([
    "settled watched of watcher",
    'events are lost for good: nobody can tell them again, and the consumer goes on {"topic":"watched","since":"1970-01-02T00:00:00.000Z"}',
  ]);
});

test("mutant: facts that are read again from the oldest on are noticed", async () => {
  const mutant = await importMutant<typeof real>(
    Bun.fileURLToPath(new URL("rebuild-lost.ts", import.meta.url)),
    "if (!rebuilt.isState && rebuilt.rebuild === undefined) {",
    "if (rebuilt === undefined) {",
  );
  expect(await loseFacts(mutant)).toContain("replayed");
});
