import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { appendFile, readdir, readFile, truncate } from "node:fs/promises";
import { join } from "node:path";
import { silentLog } from "../../../platform/testing/local-stores.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { createServerFolder, type ServerFolder } from "../../../platform/testing/server-folder.ts";
import * as real from "./entry-queue.ts";

const childFile = Bun.fileURLToPath(new URL("entry-queue-child.ts", import.meta.url));

type Module = Pick<typeof real, "createEntryQueue">;

let root: ServerFolder;
beforeAll(async () => {
  root = await createServerFolder("entry-queue");
});
afterAll(() => root.remove());

let folders = 0;
const newFolder = (): string => join(root.path, String((folders += 1)));

const started: real.EntryQueue[] = [];
// A mutant's test ends where it fails.
afterEach(async () => {
  for (const queue of started.splice(0)) await queue.stop();
});

/** A queue that runs. */
async function start(
  folder: string,
  bytesMax = 1_000_000,
  { createEntryQueue }: Module = real,
): Promise<real.EntryQueue> {
  const queue = createEntryQueue({ folder, bytesMax, log: silentLog });
  started.push(queue);
  await queue.start();
  return queue;
}

const append = (queue: real.EntryQueue, ...texts: readonly string[]) =>
  Promise.all(texts.map((text) => queue.append(Buffer.from(text))));

/** All that waits, in order, taken out. */
async function drain(queue: real.EntryQueue, max = 3): Promise<readonly string[]> {
  const texts: string[] = [];
  for (let batch = await queue.read(max); batch !== undefined; batch = await queue.read(max)) {
    texts.push(...batch.payloads.map(String));
    await queue.done(batch);
  }
  return texts;
}

const many = Array.from({ length: 20 }, (_, n) => `entry ${n}`);

async function checkTorn(module: Module = real): Promise<void> {
  const folder = newFolder();
  const queue = await start(folder, undefined, module);
  await append(queue, "first", "second");
  await queue.stop();
  const [file = ""] = await readdir(folder);
  const whole = await readFile(join(folder, file));
  // Cut in the middle of the second, as by a crash during the write.
  await truncate(join(folder, file), whole.byteLength - 3);
  const again = await start(folder, undefined, module);
  expect(await append(again, "third").then(() => "kept", String)).toBe("kept");
  await again.stop();
  const last = await start(folder, undefined, module);
  expect(await drain(last)).toEqual(["first", "third"]);
  await last.stop();
}

async function checkDamaged(module: Module = real): Promise<void> {
  const folder = newFolder();
  const queue = await start(folder, undefined, module);
  await append(queue, "good");
  await queue.stop();
  const [file = ""] = await readdir(folder);
  await appendFile(join(folder, file), Buffer.from([4, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]));
  const again = await start(folder, undefined, module);
  expect(await drain(again)).toEqual(["good"]);
  await again.stop();
}

async function checkRoom(module: Module = real): Promise<void> {
  const queue = await start(newFolder(), 100, module);
  const outcomes = await Promise.all(
    Array.from({ length: 20 }, async () => {
      try {
        await queue.append(Buffer.alloc(12));
        return "kept";
      } catch (error) {
        return (error as { reason: string }).reason;
      }
    }),
  );
  expect(outcomes.toSorted()).toEqual([...Array(15).fill("ENTRY_QUEUE_FULL"), ...Array(5).fill("kept")]);
  await drain(queue);
  await queue.sweep();
  await append(queue, "again");
  await queue.stop();
}

describe("entries on disk", () => {
  test("come out in their order, each until it is done", async () => {
    const queue = await start(newFolder());
    await append(queue, ...many);
    const first = await queue.read(3);
    expect((await queue.read(3))?.payloads.map(String)).toEqual(many.slice(0, 3));
    await queue.done(first!);
    expect(await drain(queue)).toEqual(many.slice(3));
    await queue.stop();
  });

  test("are there after a restart, until they are done", async () => {
    const folder = newFolder();
    const queue = await start(folder);
    await append(queue, ...many);
    const first = await queue.read(5);
    await queue.done(first!);
    await queue.stop();
    const again = await start(folder);
    // Those of a file that was done in part come again: whoever records them tells a repeat by its id.
    expect(await drain(again)).toEqual(many);
    await again.sweep();
    expect([await readdir(folder), again.bytes()]).toEqual([[], 0]);
    await again.stop();
  });

  test("go on behind one that was torn", () => checkTorn());

  test("that were damaged do not come out", () => checkDamaged());

  test("are refused beyond the bound, and only there", () => checkRoom());

  test("outlive a process that is killed", async () => {
    const folder = newFolder();
    const child = Bun.spawn([process.execPath, childFile, folder], {
      stdout: "pipe",
      stderr: "inherit",
    });
    const told: string[] = [];
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      told.push(
        ...decoder
          .decode(chunk)
          .split("\n")
          .filter((line) => line !== ""),
      );
      if (told.length >= 50) break;
    }
    child.kill("SIGKILL");
    await child.exited;
    const queue = await start(folder);
    const kept = new Set(await drain(queue));
    // A line may have been cut by the end of what was read.
    expect(told.slice(0, 50).filter((text) => !kept.has(text))).toEqual([]);
    await queue.stop();
  });

  test("are refused while it is stopped", async () => {
    const queue = await start(newFolder());
    await queue.stop();
    expect(() => queue.checkRoom()).toThrow("the entry could not be recorded");
  });
});

describe("a mutant is caught", () => {
  const path = join(import.meta.dir, "entry-queue.ts");
  const files = join(import.meta.dir, "entry-files.ts");
  test.each([
    ["begins where another ended", files, "nextNumber = (files.at(-1)?.number ?? 0) + 1;", "", checkTorn],
    ["has no bound", path, "if (files.bytes() + waitingBytes + frameBytes > bytesMax)", "if (false)", checkRoom],
    ["forgets what is being written", path, "+ waitingBytes + frameBytes", "+ frameBytes", checkRoom],
  ] as const)("that %s", async (_, file, from, to, check) => {
    const mutant = await importMutant<Module>(file, from, to, [path]);
    await caught(() => check(mutant));
  });

  test("that reads what was damaged", async () => {
    const frames = join(import.meta.dir, "frames.ts");
    const rule = "if (crc32(payload) !== bytes.readUInt32LE(end + 4)) break;";
    const mutant = await importMutant<Module>(frames, rule, "", [path]);
    await caught(() => checkDamaged(mutant));
  });
});
