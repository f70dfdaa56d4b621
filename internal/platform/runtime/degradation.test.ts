import { expect, test } from "bun:test";
import { createMetrics } from "../telemetry/create-metrics.ts";
import { eventually } from "../testing/eventually.ts";
import { createHeldClock } from "../testing/held-clock.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import type { OutboxState } from "../service/outbox-view.ts";
import type { ComposedService } from "./compose-service.ts";
import { createDegradation } from "./degradation.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

const parked = "auth: 2 events are parked, see muin outbox list";
const waited = (seconds: number) => `auth: the oldest event in the outbox has waited for ${seconds} s`;

/** Reads a state that is that of an empty outbox where nothing else is said. */
function readOf(state: Partial<OutboxState>): () => Promise<OutboxState> {
  return () => Promise.resolve({ depth: 0, ageMs: 0, parked: 0, ...state });
}

/** What is told of one outbox in the states that it goes through. */
async function told(create: typeof createDegradation): Promise<void> {
  const clock = createHeldClock();
  const metrics = createMetrics();
  let read = readOf({});
  const services = [
    {
      info: { name: "auth" } as ComposedService["info"],
      outboxes: [{ read: () => read(), parked: async () => [], redrive: async () => 0 }],
    },
  ];
  const degradation = create({ services, outboxAgeMsMax: 30_000, clock, log: silent, metrics });
  expect(degradation.reasons()).toEqual([]);
  await degradation.start();
  const isSoon = async (state: Partial<OutboxState>, reasons: readonly string[]) => {
    read = readOf(state);
    await clock.pass(2000);
    await eventually(() => expect(degradation.reasons()).toEqual(reasons), { timeoutMs: 2000 });
    expect(await metrics.render()).toContain(`muin_degraded_reasons{service="auth"} ${reasons.length}`);
  };
  await isSoon({ ageMs: 30_001 }, [waited(30)]);
  await isSoon({ ageMs: 30_000 }, []);
  await isSoon({ parked: 2 }, [parked]);
  await isSoon({ parked: 2, ageMs: 95_900 }, [parked, waited(95)]);
  await isSoon({}, []);
  await isSoon({ parked: 2 }, [parked]);
  // The store is away: its own probe tells, and nothing is known of the outbox.
  read = () => Promise.reject(new Error("away"));
  await clock.pass(2000);
  await eventually(() => expect(degradation.reasons()).toEqual([]), { timeoutMs: 2000 });
  await degradation.stop();
}

test("an outbox is told of that has parked events, or one that waits for more than 30 s", () =>
  told(createDegradation));

test.each([
  ["the age counts from its limit on", "ageMs > ageMsMax", "ageMs >= ageMsMax"],
  ["the age does not count", "ageMs > ageMsMax", "ageMs > 1e12"],
  ["parked events do not count", "parked > 0 ?", "parked > 1e6 ?"],
  ["it is looked at once", "reasons = now;", "if (now.length > 0) reasons = now;"],
])("mutant: %s", async (_, from, to) => {
  const file = Bun.fileURLToPath(new URL("degradation.ts", import.meta.url));
  const mutant = await importMutant<{ createDegradation: typeof createDegradation }>(file, from, to);
  await caught(() => told(mutant.createDegradation));
});
