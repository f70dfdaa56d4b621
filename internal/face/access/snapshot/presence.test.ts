import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../platform/clock/clock.ts";
import type { RedisReader } from "../../../platform/redis/redis-store.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import { anyVector, seededFractions, templateOf } from "../../shared/face-fixture.ts";
import { type createInstances, positionsKey } from "../../shared/instances.ts";
import { type Faces, openDoor, openFaceStore } from "./snapshots-fixture.ts";
import type { createSnapshots } from "./snapshots.ts";

setDefaultTimeout(60_000);

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

/** A change of some branch. */
function change(): Promise<string> {
  return faces.writer.deny(crypto.randomUUID(), ["branch"], systemClock.now());
}

/** A place behind every change that there will be. */
const neverReached = "99999999999999-0";

async function hostsBehind(changeId = neverReached): Promise<readonly string[]> {
  return (await faces.instances.behind(changeId)).map(({ host }) => host).toSorted();
}

async function until(hosts: readonly string[]): Promise<void> {
  await eventually(async () => expect(await hostsBehind()).toEqual(hosts));
}

describe("the processes at the doors", () => {
  test("are known from their start to their end, and say what they have applied", async () => {
    {
      await using one = await openDoor(redis.url, { host: "one" });
      await using two = await openDoor(redis.url, { host: "two" });
      await until(["one", "two"]);
      const [first] = await faces.instances.behind(neverReached);
      expect([one.folder, two.folder]).not.toContain(first?.instanceId);
      await faces.applied(await change());
    }
    expect(await hostsBehind()).toEqual([]);
  });

  test("that were killed count until they may decide no more, or are started again", async () => {
    const one = await openDoor(redis.url, { host: "one", snapshotAgeMsMax: 600_000 });
    const two = await openDoor(redis.url, { host: "two", snapshotAgeMsMax: 0 });
    await until(["one", "two"]);
    await one.die();
    await two.die();
    // One who decides without a renewal for no time is gone a second after its last.
    await until(["one"]);
    const missed = await change();
    expect(await hostsBehind(missed)).toEqual(["one"]);
    const again = await openDoor(redis.url, { host: "one again", folder: one.folder });
    await until(["one again"]);
    await faces.applied(missed);
    await again[Symbol.asyncDispose]();
    expect(await hostsBehind()).toEqual([]);
  });

  test("are forgotten when they have not been there for a week", async () => {
    const { client } = faces.store;
    const [seconds] = await client.time();
    const weekAgo = (Number(seconds) - 7 * 86_400 - 1) * 1000;
    await client.hset(positionsKey, "long gone", `0-0 ${weekAgo} 86400000`);
    await client.hset("{face}:d:instances", "long gone", "{}");
    await using door = await openDoor(redis.url, { host: "one" });
    await until(["one"]);
    expect(await client.hkeys("{face}:d:instances")).not.toContain("long gone");
    await door[Symbol.asyncDispose]();
  });

  test("of two with one folder the later one counts, and the earlier one uses no copy any more", async () => {
    const gallery = await faces.branch();
    const face = templateOf(anyVector(seededFractions(1)));
    await faces.writer.put({ memberId: "m", enrolmentId: "e" }, [{ gallery, templates: [face] }]);
    await using earlier = await openDoor(redis.url, { host: "earlier" });
    await earlier.loaded(gallery);
    await using later = await openDoor(redis.url, { host: "later", folder: earlier.folder });
    await later.loaded(gallery);
    await eventually(async () => expect(await earlier.search(gallery, face)).toEqual({ kind: "no_snapshot" }));
    expect(await hostsBehind()).toEqual(["later"]);
    await earlier[Symbol.asyncDispose]();
    expect(await hostsBehind()).toEqual(["later"]);
  });

  test("come back by themselves when the store lost them", async () => {
    await using door = await openDoor(redis.url, { host: "one" });
    await until(["one"]);
    await faces.store.client.unlink("{face}:d:instances", positionsKey);
    await until(["one"]);
    await faces.applied(await change());
    await door[Symbol.asyncDispose]();
  });

  test("an answer that cannot be read is no answer", async () => {
    await faces.store.client.hset(positionsKey, "strange", "somewhere");
    expect(faces.instances.behind("1-0")).rejects.toThrow("no readable position");
    await faces.store.client.hdel(positionsKey, "strange");
  });
});

/** As a process sees the store that hears of changes late: each read of them takes longer than the presence is renewed. */
function late(reader: RedisReader): RedisReader {
  return {
    client: reader.client,
    dedicated: () => {
      const connection = reader.dedicated();
      const pipelined = connection.pipeline.bind(connection);
      connection.pipeline = (...args: Parameters<typeof pipelined>) => {
        const pipeline = pipelined(...args);
        const run = pipeline.exec.bind(pipeline);
        pipeline.exec = async () => {
          const replies = await run();
          await Bun.sleep(400);
          return replies;
        };
        return pipeline;
      };
      return connection;
    },
  };
}

/** Who is erased is found by no process once none is behind, however late it hears of it. */
async function checkErasures(create?: typeof createSnapshots, instances?: typeof createInstances): Promise<void> {
  const fraction = seededFractions(20261130);
  const gallery = await faces.branch();
  await using door = await openDoor(redis.url, {
    faces: late,
    ...(create === undefined ? {} : { createSnapshots: create }),
  });
  const known = instances?.(faces.store) ?? faces.instances;
  const people = Array.from({ length: 6 }, (_, place) => ({
    enrolment: { memberId: `m${place}`, enrolmentId: `${gallery.branchId}-${place}` },
    template: templateOf(anyVector(fraction)),
  }));
  for (const { enrolment, template } of people) await faces.writer.put(enrolment, [{ gallery, templates: [template] }]);
  await door.loaded(gallery);
  for (const { enrolment, template } of people) {
    const changeId = await faces.writer.deny(enrolment.enrolmentId, [gallery.branchId], systemClock.now());
    while ((await known.behind(changeId)).length > 0) await Bun.sleep(1);
    const outcome = await door.search(gallery, template);
    expect(outcome.kind === "searched" ? outcome.result.best?.enrolmentId : "").not.toBe(enrolment.enrolmentId);
  }
}

describe("whoever is erased", () => {
  test("is found by no process once none is behind", () => checkErasures());

  test("mutant: a process says more than it has applied", async () => {
    const { createSnapshots: broken } = await importMutant<{ createSnapshots: typeof createSnapshots }>(
      join(import.meta.dir, "presence.ts"),
      "ARGV[4] .. ' '",
      "ends[1] .. ' '",
      [join(import.meta.dir, "snapshots.ts")],
    );
    await caught(() => checkErasures(broken));
  });

  test("mutant: who is behind is not told", async () => {
    const { createInstances: broken } = await importMutant<{ createInstances: typeof createInstances }>(
      join(import.meta.dir, "../../shared/instances.ts"),
      "isLive && !isAtLeast(applied, change)",
      "!isLive && !isAtLeast(applied, change)",
    );
    await caught(() => checkErasures(undefined, broken));
  });
});
