import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../platform/clock/clock.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { createServerFolder } from "../../../platform/testing/server-folder.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import type { SearchOutcome } from "../../shared/face-engine.ts";
import { anyVector, near, seededFractions, templateOf } from "../../shared/face-fixture.ts";
import type { ActiveGallery } from "../../shared/gallery.ts";
import { changesKey, galleryKeys } from "../../shared/key-schema.ts";
import { type Door, type Faces, openDoor, openFaceStore } from "./snapshots-fixture.ts";
import type { createSnapshots } from "./snapshots.ts";

setDefaultTimeout(60_000);

type Create = typeof createSnapshots;
const seed = Number(process.env["SEED"] ?? 20261130);

let redis: TestRedis;
let faces: Faces;
beforeAll(async () => {
  redis = await startRedis({ appendfsync: "no" });
  faces = await openFaceStore(redis.url);
});
afterAll(async () => {
  await faces[Symbol.asyncDispose]();
  await redis.stop();
});

/** The snapshots with one rule broken in one of their files. */
async function broken(file: string, rule: string, instead: string): Promise<Create> {
  const mutant = await importMutant<{ createSnapshots: Create }>(join(import.meta.dir, file), rule, instead, [
    join(import.meta.dir, "snapshots.ts"),
  ]);
  return mutant.createSnapshots;
}

/** A seed's people in a branch; each step changes something, and resolves with the change's id. */
function crowd(gallery: ActiveGallery, fraction: () => number) {
  const below = (bound: number): number => Math.floor(fraction() * bound);
  const middle = templateOf(anyVector(fraction));
  const known: Float32Array[] = [];
  const template = (): Float32Array => {
    const made = fraction() < 0.5 ? near(middle, 0.9, fraction) : templateOf(anyVector(fraction));
    known.push(made);
    return made;
  };
  const enrolment = () => {
    const number = below(60);
    return { memberId: `m${number % 40}`, enrolmentId: `${gallery.branchId}-e${number}` };
  };
  return {
    step: async (): Promise<string> => {
      const choice = fraction();
      if (choice < 0.2) return await faces.writer.remove(enrolment(), [gallery]);
      if (choice < 0.3) return await faces.writer.deny(enrolment().enrolmentId, [gallery.branchId], systemClock.now());
      const templates = Array.from({ length: 1 + below(3) }, template);
      return await faces.writer.put(enrolment(), [{ gallery, templates }]);
    },
    probe: (): Float32Array => {
      const one = known[below(known.length)];
      return one === undefined || fraction() < 0.3 ? middle : near(one, 0.6 + 0.4 * fraction(), fraction);
    },
  };
}

/** What both engines say, which must be the same. */
async function compare(door: Door, gallery: ActiveGallery, template: Float32Array, memberId?: string): Promise<void> {
  const found = await faces.find(gallery, template, memberId);
  const outcome = await door.search(gallery, template, memberId);
  expect(outcome).toMatchObject({ kind: "searched", source: "snapshot" });
  expect(resultOf(outcome)).toEqual(found);
}

/** Enrols so many people, each with so many faces. */
async function enrolMany(
  gallery: ActiveGallery,
  people: number,
  each: number,
  fraction: () => number,
): Promise<readonly Float32Array[]> {
  const all = Array.from({ length: people }, () => Array.from({ length: each }, () => templateOf(anyVector(fraction))));
  await Promise.all(
    all.map((templates, member) =>
      faces.writer.put({ memberId: `m${member}`, enrolmentId: `e${member}` }, [{ gallery, templates }]),
    ),
  );
  return all.flat();
}

function resultOf(outcome: SearchOutcome) {
  return outcome.kind === "searched" ? outcome.result : outcome.kind;
}

async function checkSame(create?: Create): Promise<void> {
  const fraction = seededFractions(seed);
  await using door = await openDoor(redis.url, create === undefined ? {} : { createSnapshots: create });
  for (let round = 0; round < 4; round += 1) {
    const gallery = await faces.branch();
    const people = crowd(gallery, fraction);
    for (let step = 0; step < 60; step += 1) await people.step();
    await door.loaded(gallery);
    for (let turn = 0; turn < 10; turn += 1) {
      let last = await people.step();
      for (let step = 0; step < 5; step += 1) last = await people.step();
      await faces.applied(last);
      for (let probe = 0; probe < 5; probe += 1) await compare(door, gallery, people.probe());
      await compare(door, gallery, people.probe(), "m3");
    }
  }
}

describe("what a process knows", () => {
  test(`is what the store knows, once it has applied it: random galleries, changes and erasures (seed ${seed})`, () =>
    checkSame());

  test.each([
    ["branch-copy.ts", "state.denied.add(change.enrolmentId)", "undefined"],
    ["branch-copy.ts", 'if (change.kind === "remove") rows.remove(change);', ""],
    ["rows.ts", "remove({ memberId, enrolmentId });\n      return", "return"],
    ["load-branch.ts", "filling.denied(name)", "void name"],
  ])("is noticed to be wrong: in %s, %p as %p", async (file, rule, instead) => {
    const create = await broken(file, rule, instead);
    await caught(() => checkSame(create));
  });
});

/** While a branch is loaded page by page, it changes: what is younger than the page stands. */
async function checkChangedWhileLoading(create?: Create): Promise<void> {
  const fraction = seededFractions(seed + 1);
  for (let round = 0; round < 3; round += 1) {
    const gallery = await faces.branch();
    const people = crowd(gallery, fraction);
    for (let step = 0; step < 150; step += 1) await people.step();
    let last = "";
    await using door = await openDoor(redis.url, {
      ...(create === undefined ? {} : { createSnapshots: create }),
      faces: (reader) => ({
        dedicated: () => reader.dedicated(),
        client: new Proxy(reader.client, {
          get: (client, name) => {
            const value: unknown = Reflect.get(client, name);
            if (typeof value !== "function") return value;
            if (name !== "callBuffer") return value.bind(client) as unknown;
            return async (...args: Parameters<typeof client.callBuffer>) => {
              const page = await client.callBuffer(...args);
              // The page is read, and on its way: whoever changes now is heard of before it is taken in.
              for (let step = 0; step < 4; step += 1) last = await people.step();
              await faces.applied(last);
              return page;
            };
          },
        }),
      }),
    });
    await door.loaded(gallery);
    await faces.applied(last);
    for (let probe = 0; probe < 20; probe += 1) await compare(door, gallery, people.probe());
  }
}

describe("a branch that changes while it is loaded", () => {
  test("is loaded as it is in the end", () => checkChangedWhileLoading());

  test.each([
    ["branch-copy.ts", "if (younger.has(enrolmentOf(element))) return true;", ""],
    ["load-branch.ts", "await options.caughtUp(signal); // From here on", "// From here on"],
  ])("is noticed to be wrong: in %s, %p as %p", async (file, rule, instead) => {
    const create = await broken(file, rule, instead);
    await caught(() => checkChangedWhileLoading(create));
  });
});

test("a large branch is scanned in the thread, exactly", async () => {
  const fraction = seededFractions(seed + 2);
  const gallery = await faces.branch();
  const all = await enrolMany(gallery, 1700, 10, fraction);
  await using door = await openDoor(redis.url);
  await door.loaded(gallery);
  await Promise.all(
    Array.from({ length: 20 }, (_, probe) => compare(door, gallery, near(all[probe * 800]!, 0.7, fraction))),
  );
  const [, usec] = /cmdstat_hscan:.*usec_per_call=([\d.]+)/.exec(await faces.store.client.info("commandstats")) ?? [];
  expect(Number(usec)).toBeLessThan(1000);
});

describe("when changes were missed", () => {
  test("nothing is decided by a copy until it was loaded anew", async () => {
    await using own = await startRedis();
    await using store = await openFaceStore(own.url);
    const fraction = seededFractions(seed + 3);
    const gallery = await store.branch();
    const face = templateOf(anyVector(fraction));
    await store.writer.put({ memberId: "erased", enrolmentId: "e1" }, [{ gallery, templates: [face] }]);
    await store.writer.put({ memberId: "other", enrolmentId: "e2" }, [
      { gallery, templates: [near(face, 0.5, fraction)] },
    ]);
    await using door = await openDoor(own.url);
    await door.loaded(gallery);
    const seen: (string | undefined)[] = [];
    const over = new AbortController();
    const looking = (async () => {
      while (!over.signal.aborted) {
        const outcome = await door.search(gallery, face);
        seen.push(outcome.kind === "searched" ? outcome.result.best?.memberId : outcome.kind);
        await Bun.sleep(0);
      }
    })();
    // The change is gone from the stream before anybody can read it.
    const { copy, set, names } = galleryKeys(gallery);
    await store.store.client
      .multi()
      .call("VREM", set, "erased/e1/0")
      .hdel(copy, "erased/e1/0")
      .zrem(names, "erased/e1/0")
      .xadd(changesKey, "*", "kind", "lost")
      .xtrim(changesKey, "MAXLEN", 0)
      .exec();
    await eventually(() => expect(seen.at(-1)).toBe("other"));
    over.abort();
    await looking;
    expect(seen.filter((who, at) => who !== seen[at - 1])).toEqual(["erased", "no_snapshot", "other"]);
  });
});

test("the gallery that doors decide by is the one that is searched", async () => {
  const fraction = seededFractions(seed + 4);
  const before = await faces.branch();
  const face = templateOf(anyVector(fraction));
  await faces.writer.put({ memberId: "m", enrolmentId: "e1" }, [{ gallery: before, templates: [face] }]);
  await using door = await openDoor(redis.url);
  await door.loaded(before);
  const after = await faces.branch(before.branchId);
  await faces.writer.put({ memberId: "m", enrolmentId: "e2" }, [{ gallery: after, templates: [face] }]);
  await door.loaded(after);
  expect(await door.search(after, face)).toMatchObject({ result: { best: { enrolmentId: "e2" } } });
  expect(await door.search(before, face)).toEqual({ kind: "gallery_changed", active: after });
  expect(await door.search({ ...after, generation: 9, revision: 9 }, face)).toEqual({ kind: "no_snapshot" });
});

test("who is found comes with their record, as it is now", async () => {
  const fraction = seededFractions(seed + 5);
  const gallery = await faces.branch();
  const [one, two] = [templateOf(anyVector(fraction)), templateOf(anyVector(fraction))];
  const enrol = (memberId: string, template: Float32Array): Promise<string> =>
    faces.writer.put({ memberId, enrolmentId: `${gallery.branchId}-${memberId}` }, [
      { gallery, templates: [template] },
    ]);
  const [first, second] = [`${gallery.branchId}-one`, `${gallery.branchId}-two`];
  await faces.writeMember(first, "admitted");
  await faces.writeBranch(gallery.branchId, "open");
  await enrol(first, one);
  await using door = await openDoor(redis.url);
  await door.loaded(gallery);
  const recordOf = async (template: Float32Array): Promise<string | undefined> => {
    const outcome = await door.search(gallery, template);
    return outcome.kind === "searched" ? outcome.beside?.toString() : outcome.kind;
  };
  expect(await recordOf(one)).toBe("admitted");
  expect(door.snapshots.engine.view(gallery.branchId)).toMatchObject({ active: gallery, branch: Buffer.from("open") });
  await faces.writeMember(first, "suspended");
  await faces.writeBranch(gallery.branchId, "closed");
  await eventually(async () => expect(await recordOf(one)).toBe("suspended"));
  await eventually(() => expect(door.snapshots.engine.view(gallery.branchId)?.branch?.toString()).toBe("closed"));
  await faces.writeMember(second, "new");
  await enrol(second, two);
  await eventually(async () => expect(await recordOf(two)).toBe("new"));
});

test("branches that were used last stay, within the memory that there is", async () => {
  const fraction = seededFractions(seed + 6);
  const galleries = [await faces.branch(), await faces.branch(), await faces.branch()];
  for (const gallery of galleries) await enrolMany(gallery, 600, 1, fraction);
  const [first, second, third] = galleries as [ActiveGallery, ActiveGallery, ActiveGallery];
  const bytesMax = 1_100_000; // Of two of them: each takes about half a megabyte.
  await using door = await openDoor(redis.url, { snapshotBytesMax: bytesMax });
  await door.loaded(first);
  await door.loaded(second);
  const any = templateOf(anyVector(fraction));
  expect(await door.search(first, any)).toMatchObject({ kind: "searched" });
  await door.loaded(third);
  expect(await door.search(second, any)).toEqual({ kind: "no_snapshot" });
  await compare(door, first, any);
  await compare(door, third, any);
  await eventually(() => expect(door.meters.seen).toMatchObject({ branches: 2 }));
  expect(door.meters.seen.bytes).toBeGreaterThan(900_000);
  expect(door.meters.seen.bytes).toBeLessThanOrEqual(bytesMax);
});

test("an instance that is started again loads what it had, before anybody asks", async () => {
  const galleries = [await faces.branch(), await faces.branch()];
  await using folder = await createServerFolder("door").then((made) => ({
    path: made.path,
    [Symbol.asyncDispose]: () => made.remove(),
  }));
  {
    await using before = await openDoor(redis.url, { folder: folder.path });
    for (const gallery of galleries) await before.loaded(gallery);
  }
  {
    await using after = await openDoor(redis.url, { folder: folder.path });
    await eventually(() => expect(after.meters.seen.branches).toBe(2));
  }
  await Bun.write(join(folder.path, "snapshots.json"), "no list");
  await using anew = await openDoor(redis.url, { folder: folder.path });
  await anew.loaded(galleries[0]!);
  expect(anew.meters.seen.branches).toBeLessThan(2);
});

test("a store that may show who was erased is not loaded from", async () => {
  await using own = await startRedis();
  await using store = await openFaceStore(own.url);
  const gallery = await store.branch();
  const face = templateOf(anyVector(seededFractions(seed + 7)));
  await store.writer.put({ memberId: "m", enrolmentId: "e" }, [{ gallery, templates: [face] }]);
  await store.store.client.set("{face}:g:fresh", "another process");
  await using door = await openDoor(own.url);
  await eventually(async () => expect((await store.store.client.hlen("{face}:d:positions")) > 0).toBeTrue());
  for (let look = 0; look < 10; look += 1) {
    expect(await door.search(gallery, face)).toEqual({ kind: "no_snapshot" });
    await Bun.sleep(20);
  }
});

/** Cut off from the store, a process decides by what it knows for as long as it may, and not after it until it has caught up. */
async function checkAge(create?: Create): Promise<void> {
  await using own = await startRedis();
  await using store = await openFaceStore(own.url);
  let ahead = 0;
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + ahead };
  const gallery = await store.branch();
  const face = templateOf(anyVector(seededFractions(seed + 8)));
  await store.writer.put({ memberId: "m", enrolmentId: "e" }, [{ gallery, templates: [face] }]);
  await using door = await openDoor(own.url, {
    clock,
    snapshotAgeMsMax: 60_000,
    ...(create === undefined ? {} : { createSnapshots: create }),
  });
  await door.loaded(gallery);
  await own.kill("SIGSTOP");
  ahead += 50_000;
  const outcome = await door.search(gallery, face);
  expect(outcome).toMatchObject({ kind: "searched", result: { best: { memberId: "m" } } });
  expect(outcome.kind === "searched" ? outcome.ageMs : 0).toBeGreaterThanOrEqual(50_000);
  ahead += 10_001;
  expect(await door.search(gallery, face)).toEqual({ kind: "no_snapshot" });
  await own.kill("SIGCONT");
  await door.loaded(gallery);
}

describe("how old a copy may be", () => {
  test("a process that is cut off decides by it so long, and not longer", () => checkAge());

  test("mutant: the age is not looked at", async () => {
    const create = await broken("engine.ts", "ageMs() <= ageMsMax", "ageMs() < Infinity");
    await caught(() => checkAge(create));
  });

  test("0: it is not used", async () => {
    const gallery = await faces.branch();
    const face = templateOf(anyVector(seededFractions(seed + 9)));
    await using door = await openDoor(redis.url, { snapshotAgeMsMax: 0 });
    for (let look = 0; look < 10; look += 1) {
      expect(await door.search(gallery, face)).toEqual({ kind: "no_snapshot" });
      await Bun.sleep(20);
    }
  });
});
