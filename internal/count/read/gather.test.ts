import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { importMutant } from "../../platform/testing/mutant.ts";
import { gather } from "./gather.ts";

/** Trips that end when they are told to, each answering with what the store held when it began. */
function slowTrips() {
  const trips: { readonly keys: readonly string[]; readonly end: () => void }[] = [];
  let stored = 0;
  return {
    trips,
    write: () => (stored += 1),
    trip: (keys: readonly string[]): Promise<readonly number[]> => {
      const { promise, resolve } = Promise.withResolvers<readonly number[]>();
      const read = stored;
      trips.push({ keys, end: () => resolve(keys.map(() => read)) });
      return promise;
    },
  };
}

/** What a read sees that begins after a write, while earlier reads of the same key are under way. */
async function readAfterWrite(make: typeof gather): Promise<number> {
  const slow = slowTrips();
  const read = make(slow.trip);
  const before = [read("a"), read("a")];
  slow.write();
  const after = read("a");
  for (let place = 0; place < slow.trips.length; place += 1) {
    slow.trips[place]?.end();
    await Promise.race([after, new Promise((resolve) => setImmediate(resolve))]);
  }
  await Promise.all(before);
  return after;
}

describe("gathered reads", () => {
  test("share trips, at most two at a time, and ask for a key once a trip", async () => {
    const slow = slowTrips();
    const read = gather(slow.trip);
    const reads = ["a", "b", "c", "d", "c", "d"].map(read);
    expect(slow.trips.map(({ keys }) => keys)).toEqual([["a"], ["b"]]);
    slow.trips[0]?.end();
    await reads[0];
    await Promise.resolve();
    expect(slow.trips.map(({ keys }) => keys)).toEqual([["a"], ["b"], ["c", "d"]]);
    for (const { end } of slow.trips) end();
    expect(await Promise.all(reads)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("never answer with what was read before the question", async () => {
    expect(await readAfterWrite(gather)).toBe(1);
  });

  test("mutant: joining a trip that is under way is found out", async () => {
    const { gather: broken } = await importMutant<{ gather: typeof gather }>(
      join(import.meta.dir, "gather.ts"),
      "const waiting = new Map<string, Waiting<V>>();",
      `const waiting = new (class extends Map<string, Waiting<V>> {
        flying = new Map<string, Waiting<V>>();
        delete(key: string) { this.flying.set(key, super.get(key)!); return super.delete(key); }
        get(key: string) { return super.get(key) ?? this.flying.get(key); }
      })();`,
    );
    expect(await readAfterWrite(broken)).toBe(0);
  });

  test("reject together with their trip, and the next trip goes", async () => {
    let isBroken = true;
    const read = gather((keys) => (isBroken ? Promise.reject(new Error("away")) : Promise.resolve(keys)));
    expect(await Promise.allSettled([read("a"), read("b")])).toMatchObject([
      { status: "rejected" },
      { status: "rejected" },
    ]);
    isBroken = false;
    expect(await read("a")).toBe("a");
  });
});
