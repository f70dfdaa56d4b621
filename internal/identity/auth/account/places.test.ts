import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Clock } from "../../../platform/clock/clock.ts";
import { createHeldClock } from "../../../platform/testing/held-clock.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { createPlaces, type Places, type Rank } from "./places.ts";

const limits = { concurrentMax: 1, waitingMax: 8, waitingPerNetworkMax: 4, waitMsMax: 5000 };

/** Places of which all are held: who comes waits, and what became of each is told in the order in which it was decided. */
async function startPlaces(
  create = createPlaces,
  clock: Pick<Clock, "sleep"> = { sleep: () => new Promise(() => {}) },
) {
  const places = create(limits, clock);
  const here = new AbortController();
  const first = await places.take("known", "holder", here.signal);
  if (typeof first === "string") throw new Error(first);
  let giveBack = first;
  const told: string[] = [];
  const waitFor = async (name: string, taken: ReturnType<Places["take"]>): Promise<void> => {
    const outcome = await taken;
    if (typeof outcome !== "string") giveBack = outcome;
    told.push(typeof outcome === "string" ? `${name}: ${outcome}` : name);
  };
  const come = (name: string, rank: Rank, network: string, { signal } = here): void => {
    void waitFor(name, places.take(rank, network, signal));
  };
  return {
    places,
    told,
    come,
    /** Gives places back until nobody waits, or `times` times. */
    serve: async (times = 100) => {
      for (let time = 0; time < times; time++) {
        giveBack();
        await settle();
      }
      return told;
    },
  };
}

/** Lets all happen that waits for nothing but its turn. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

/** The order in which five of one network and one of another get their places. */
async function orderOf(create: typeof createPlaces) {
  const { come, serve } = await startPlaces(create);
  for (const name of ["a1", "a2", "a3", "a4", "a5"]) come(name, "sign-in", "a");
  come("b1", "sign-in", "b");
  return serve();
}

/** What becomes of sign-ins while sign-ups of many networks take all the room that there is. */
async function besideSignUps(create: typeof createPlaces) {
  const { come, serve } = await startPlaces(create);
  for (let network = 0; network < 20; network++) come(`up${network}`, "sign-up", `n${network}`);
  come("in", "sign-in", "n0");
  come("known", "known", "n0");
  const told = await serve();
  return told.filter((line) => line.startsWith("in") || line.startsWith("known"));
}

/** What becomes of a newcomer where two networks have taken all the room. */
async function newcomer(create: typeof createPlaces) {
  const { come, serve } = await startPlaces(create);
  for (const name of ["a1", "a2", "a3", "a4"]) come(name, "sign-in", "a");
  for (const name of ["b1", "b2", "b3", "b4"]) come(name, "sign-in", "b");
  come("c1", "sign-in", "c");
  return serve();
}

/** What is told of one who waits behind a place that is never given back. */
async function waiting(create: typeof createPlaces) {
  const clock = createHeldClock();
  const { come, told } = await startPlaces(create, clock);
  come("a1", "sign-in", "a");
  await settle();
  const lengths = clock.asleep();
  await clock.pass(5000);
  return { lengths, told };
}

const mutant = async (from: string, to: string): Promise<typeof createPlaces> => {
  const { createPlaces: broken } = await importMutant<{ createPlaces: typeof createPlaces }>(
    join(import.meta.dir, "places.ts"),
    from,
    to,
  );
  return broken;
};

describe("places", () => {
  test("go to the networks one after the other, and no network has more waiting than it may", async () => {
    expect(await orderOf(createPlaces)).toEqual(["a5: too many wait", "a1", "b1", "a2", "a3", "a4"]);
  });

  test("are kept apart for sign-ups, sign-ins and people who are known", async () => {
    expect(await besideSignUps(createPlaces)).toEqual(["known", "in"]);
  });

  test("go to each rank at least every fourth time", async () => {
    const { come, serve } = await startPlaces();
    for (const network of ["a", "b"]) {
      for (let time = 1; time <= 4; time++) {
        come("known", "known", network);
        come("in", "sign-in", network);
        come("up", "sign-up", network);
      }
    }
    const told = await serve(12);
    expect(told.slice(0, 8)).toEqual(["known", "in", "known", "up", "known", "in", "known", "up"]);
  });

  test("are made for a newcomer by whose network has most waiting", async () => {
    expect(await newcomer(createPlaces)).toEqual(["a4: too many wait", "a1", "b1", "c1", "a2", "b2", "a3", "b3", "b4"]);
  });

  test("are waited for 5 seconds, and not by those who have gone", async () => {
    expect(await waiting(createPlaces)).toEqual({ lengths: [5000], told: ["a1: waited too long"] });
    const { come, serve } = await startPlaces();
    const gone = new AbortController();
    come("gone", "sign-in", "a", gone);
    come("a1", "sign-in", "a");
    gone.abort();
    expect(await serve()).toEqual(["gone: gone", "a1"]);
  });

  test("are free again once everybody gave them back, each once", async () => {
    const { places, come, serve } = await startPlaces();
    come("a1", "sign-in", "a");
    expect(places.isFull()).toBe(true);
    await serve();
    expect(places.isFull()).toBe(false);
  });

  test.each([
    ["networks do not take turns", "waiting.delete(network);\n        waiting.set(network, ofNetwork);", ";", orderOf],
    ["no bound by network", "own >= waitingPerNetworkMax", "own < 0", orderOf],
    [
      "one line for all",
      'const lines = { known: createLine(limits), "sign-in": createLine(limits), "sign-up": createLine(limits)',
      'const line = createLine(limits);\n  const lines = { known: line, "sign-in": line, "sign-up": line',
      besideSignUps,
    ],
    ["no room for newcomers", "most.length <= than", "most.length > 0", newcomer],
    ["no bound of time", 'if (lines[rank].remove(waiter)) waiter.end("waited too long");', "", waiting],
  ])("mutant: %s", async (_, from, to, seen) => {
    expect(await seen(await mutant(from, to))).not.toEqual(await seen(createPlaces));
  });
});
