import { expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { ConfigError } from "../config/read-config.ts";
import { openLeases } from "../lease/open-leases.ts";
import { importMutant } from "../testing/mutant.ts";
import type { BrokerOptions } from "./broker-opener.ts";
import { openBroker } from "./open-broker.ts";
import { silentLog, silentMetrics } from "./redis/redis-broker-fixture.ts";

const common = { instance: "test", clock: systemClock, random: systemRandom, log: silentLog };
const coordinationUrl = "redis://127.0.0.1:1";
const leases = openLeases(coordinationUrl, common);
const options: BrokerOptions = {
  ...common,
  partitions: 4,
  topics: [],
  leases,
  coordinationUrl,
  metrics: silentMetrics,
};

test.each(["redis://127.0.0.1:1", "rediss://user:password@127.0.0.1:1"])("%s opens", async (url) => {
  const broker = openBroker(url, options);
  expect(broker.heartbeatReceivedAt()).toBe(Number.NEGATIVE_INFINITY);
  await broker.stop();
});

/** What is said of a URL that cannot be opened. */
function refusalOf(open: () => unknown): unknown {
  try {
    return open();
  } catch (error) {
    return error instanceof ConfigError ? error.problems : error;
  }
}

test.each(["amqp://user:secret@host", "constructor://host", "redis:host", ""])(
  "%s is refused by a sentence that names what is accepted, without its password",
  (url) => {
    const scheme = url.includes("://") ? url.slice(0, url.indexOf(":")) : "";
    expect(refusalOf(() => openBroker(url, options))).toEqual([
      `MUIN_EVENTS_URL got "${scheme}://…", accepts redis://… | rediss://…`,
    ]);
    expect(refusalOf(() => openLeases(url, common))).toEqual([
      `MUIN_COORDINATION_URL got "${scheme}://…", accepts redis://… | rediss://…`,
    ]);
  },
);

test("mutant: a table that is looked into without care opens what no row names", async () => {
  const mutant = await importMutant<{ openBroker: typeof openBroker }>(
    join(import.meta.dir, "open-broker.ts"),
    "Object.hasOwn(openers, scheme) ? openers[scheme] : undefined",
    "openers[scheme]",
  );
  expect(refusalOf(() => mutant.openBroker("constructor://host", options))).not.toEqual(expect.any(Array));
});
