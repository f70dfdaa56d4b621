import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { CountManagementService } from "../gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../gen/muin/count/v1/count_read_service_pb.ts";
import { CountWriteService } from "../gen/muin/count/v1/count_write_service_pb.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { createMuinFolder, startMuin, type MuinFolder, type TestMuin } from "../platform/testing/muin.ts";
import { startLoad } from "./load-fixture.ts";

/** Faults and recoveries take their time on a machine that may be busy. */
setDefaultTimeout(180_000);

const callers = 200;
const kills = [1, 2, 3];
/** Acknowledged increments between two faults: enough that batches are in flight. */
const between = 2000;

describe("under load", () => {
  let folder: MuinFolder;
  let muin: TestMuin;
  beforeAll(async () => {
    folder = await createMuinFolder();
    muin = await startMuin({ folder, env: { MUIN_LOG_LEVEL: "error" } });
  });
  afterAll(async () => {
    await muin[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  const kill = async (store: string): Promise<void> => {
    process.kill(await folder.store(store), "SIGKILL");
  };
  const allWell = async (): Promise<void> => {
    await eventually(async () => expect((await fetch(`${muin.http}/readyz`)).status).toBe(200), { timeoutMs: 30_000 });
  };

  test("kill -9 of the counts Redis, three times, loses nothing and counts nothing twice", async () => {
    const load = await startLoad(muin, { prefix: "redis.", callers, readers: 4 });
    for (const _ of kills) {
      await load.progress(between);
      await kill("redis/counts");
    }
    await load.progress(between);
    await load.finish();
    await load.verify();

    // A check that cannot fail shows nothing: one acknowledgement more or less than there were is noticed.
    load.tamper(1);
    expect(await outcome(load.verify())).not.toBe("ok");
    load.tamper(-1);
    await load.verify();
    load.tamper(-1);
    expect(await outcome(load.verify())).not.toBe("ok");
  });

  test("kill -9 of PostgreSQL, three times: writes go on unharmed, and each creation happens once", async () => {
    const load = await startLoad(muin, { prefix: "postgres.", callers, readers: 4 });
    const management = muin.client(CountManagementService);
    let created = 0;
    const creation = new AbortController();
    const { signal } = creation;
    const twice: string[] = [];
    const creators = Array.from({ length: 8 }, async () => {
      while (!signal.aborted) {
        const number = (created += 1);
        const request = { countId: `made.${number}`, initialValue: BigInt(number), requestId: crypto.randomUUID() };
        await eventually(
          async () => {
            try {
              await management.createCount(request, { timeoutMs: 5000 });
            } catch (error) {
              if (ConnectError.from(error).code !== Code.AlreadyExists) throw error;
              twice.push(request.countId); // With its request id, a repeated creation is the same creation.
            }
          },
          { timeoutMs: 30_000 },
        );
      }
    });
    for (const _ of kills) {
      await load.progress(between);
      const before = created;
      await eventually(() => expect(created).toBeGreaterThan(before + 10), { timeoutMs: 60_000 });
      await kill("postgres/data");
      await eventually(() => expect(created).toBeGreaterThan(before + 20), { timeoutMs: 60_000 });
    }
    creation.abort();
    await Promise.all(creators);
    expect(twice).toEqual([]);
    await load.finish();
    expect([...load.failures().keys()]).toEqual([]);
    await load.verify();
    const reader = muin.client(CountReadService);
    const countIds = Array.from({ length: Math.min(created, 1000) }, (_, index) => `made.${index + 1}`);
    const { counts, missingCountIds } = await reader.batchGetCounts({ countIds, maxStaleness: {} });
    expect(missingCountIds).toEqual([]);
    expect(counts.map(({ value }) => value?.value)).toEqual(countIds.map((_, index) => BigInt(index + 1)));
  });

  test("kill -9 of the events Redis: writes go on, and their events arrive", async () => {
    const load = await startLoad(muin, { prefix: "events.", callers });
    await load.progress(between);
    await kill("redis/events");
    await load.progress(between);
    await load.finish();
    expect([...load.failures().keys()]).toEqual([]);
    await load.verify();
    await allWell();
  });

  test("kill -9 of the cache Redis: reads and writes go on", async () => {
    const load = await startLoad(muin, { prefix: "cache.", callers, readers: 8 });
    await load.progress(between);
    await kill("redis/cache");
    await load.progress(between);
    await load.finish();
    expect([...load.failures().keys()]).toEqual([]);
    await load.verify();
    await allWell();
  });

  test("a counts Redis that stands still: callers are told that the outcome is unknown, and nothing is counted twice", async () => {
    const load = await startLoad(muin, { prefix: "still.", callers, callMs: 3000 });
    await load.progress(between);
    const redis = await folder.store("redis/counts");
    process.kill(redis, "SIGSTOP");
    try {
      // Longer than a batch is repeated: its writer has given up on it, and the repeated writes come in other batches.
      await eventually(() => expect(sum(load.failures())).toBeGreaterThan(2 * callers), { timeoutMs: 60_000 });
    } finally {
      process.kill(redis, "SIGCONT");
    }
    await load.progress(between);
    await load.finish();
    expect([...load.failures().keys()]).toContain("Unavailable OUTCOME_UNKNOWN");
    await load.verify();
  });

  test("kill -9 of Muin itself, three times, loses nothing and counts nothing twice", async () => {
    const load = await startLoad(muin, { prefix: "muin.", callers, readers: 4 });
    const { port } = new URL(muin.http);
    for (const _ of kills) {
      await load.progress(between);
      await muin.kill();
      muin = await startMuin({ folder, env: { MUIN_LOG_LEVEL: "error" }, args: ["--http-port", port] });
    }
    await load.progress(between);
    await load.finish();
    await load.verify();
    expect(await muin.client(CountWriteService).increment({ countId: "muin.0" })).toMatchObject({ replayed: false });
  });
});

async function outcome(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "ok";
  } catch (error) {
    return String(error);
  }
}

function sum(failures: ReadonlyMap<string, number>): number {
  return [...failures.values()].reduce((total, count) => total + count, 0);
}
