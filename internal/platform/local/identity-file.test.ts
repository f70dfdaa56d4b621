import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock, type Clock } from "../clock/clock.ts";
import type { KeptRevocation } from "../identity/identity-keeper.ts";
import type { Logger } from "../telemetry/logger.ts";
import { eventually } from "../testing/eventually.ts";
import { createHeldClock } from "../testing/held-clock.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import * as real from "./identity-file.ts";

const hourMs = 3_600_000;
const keys = [{ kty: "OKP", crv: "Ed25519", x: "x", kid: "one" }];
const nothing = { keys: [], revocations: [], isUnheard: false };

const source = join(import.meta.dir, "identity-file.ts");

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "muin-identity-file-"));
  path = join(folder, "identity.log");
});
afterEach(() => rm(folder, { recursive: true }));

/** A file opened anew, as by a later process whose clock is ahead by so much. */
async function openFile(
  { createIdentityFile }: Pick<typeof real, "createIdentityFile"> = real,
  { aheadMs = 0, clock: by = systemClock }: { readonly aheadMs?: number; readonly clock?: Clock } = {},
) {
  const warnings: unknown[] = [];
  const log: Logger = {
    debug: () => {},
    info: () => {},
    warn: (message, fields) => void warnings.push({ message, ...fields }),
    error: (message, fields) => void warnings.push({ message, ...fields }),
    child: () => log,
  };
  const clock = { ...by, now: () => by.now() + aheadMs };
  const file = createIdentityFile({ folder, clock, log });
  await file.start();
  return { file, warnings, [Symbol.asyncDispose]: () => file.stop() };
}

const device = (id: string): KeptRevocation => ({ kind: "device", id, untilMs: systemClock.now() });

test("after its stop nothing is written and nothing left open, whatever is heard then", async () => {
  const { file } = await openFile();
  file.revoked(device("d"));
  await file.stop();
  const content = await readFile(path, "utf8");
  file.revoked(device("e"));
  file.keysFetched(keys);
  await file.stop();
  expect(await readFile(path, "utf8")).toBe(content);
  const open = await Promise.all(
    (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")),
  );
  expect(open.filter((each) => each.startsWith(folder))).toEqual([]);
});

test("what was kept is there after the next start: keys, what was revoked, places", async () => {
  const until = systemClock.now();
  const revocations: readonly KeptRevocation[] = [
    { kind: "session", id: "s", untilMs: until },
    { kind: "device", id: "d", untilMs: until - hourMs },
    { kind: "service", id: "user", untilMs: until },
    { kind: "pass", id: "p", untilMs: until + hourMs },
  ];
  {
    await using first = await openFile();
    expect(first.file.kept()).toEqual(nothing);
    for (const revocation of revocations) first.file.revoked(revocation);
    first.file.keysFetched(keys);
    first.file.moved(0, "1-0 1");
    first.file.moved(1, "7-0 2");
    first.file.moved(0, "2-0 2");
    first.file.unheard(true);
  }
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  for (const _ of [1, 2]) {
    await using again = await openFile();
    expect(again.file.kept()).toEqual({ keys, revocations: [...revocations], isUnheard: true });
    expect([0, 1, 2].map((partition) => again.file.placeOf(partition))).toEqual(["2-0 2", "7-0 2", undefined]);
    expect(again.warnings).toEqual([]);
  }
});

async function isOnDiskAtOnce(with_: Pick<typeof real, "createIdentityFile">): Promise<void> {
  await using first = await openFile(with_, { clock: createHeldClock() }); // No second passes.
  await eventually(async () => expect((await stat(path)).size).toBeGreaterThan(0));
  first.file.revoked({ kind: "session", id: "s", untilMs: systemClock.now() });
  first.file.revoked(device("d"));
  await eventually(async () => expect(await readFile(path, "utf8")).toContain('"device","d"'), { timeoutMs: 1000 });
}

test("a device's revocation is on disk at once, without an end in order", () => isOnDiskAtOnce(real));

test("mutant: one that waits for its turn is caught", async () => {
  const mutant = await importMutant<typeof real>(
    source,
    'clock.now()], kind === "device" || kind === "pass")',
    "clock.now()], false)",
  );
  await caught(() => isOnDiskAtOnce(mutant));
});

/** Keeps a device, its place, another and its place, and lets `spoil` change the file. */
async function keepThenSpoil(spoil: (text: string) => string, with_: Pick<typeof real, "createIdentityFile"> = real) {
  {
    await rm(path, { force: true });
    const clock = createHeldClock();
    await using first = await openFile(with_, { clock });
    first.file.keysFetched(keys);
    first.file.revoked(device("one"));
    first.file.moved(0, "1-0 1");
    await eventually(async () => {
      await clock.pass(1000);
      expect(await readFile(path, "utf8")).toContain("1-0 1");
    });
    first.file.moved(0, "2-0 2"); // Written behind what was revoked before it is written.
    first.file.revoked(device("two"));
  }
  await writeFile(path, spoil(await readFile(path, "utf8")));
  const after = await openFile(with_);
  await after.file.stop();
  const { revocations, ...kept } = after.file.kept();
  return {
    keys: kept.keys.length,
    devices: revocations.map(({ id }) => id),
    place: after.file.placeOf(0),
    warnings: after.warnings,
  };
}

describe("a file that is spoilt", () => {
  const whole = { keys: 1, devices: ["one", "two"], place: "2-0 2", warnings: [] };

  test("keeps what stands before the fault, and says from where on it was passed over", async () => {
    expect(await keepThenSpoil((text) => text)).toEqual(whole);
    const spoilt = await keepThenSpoil((text) => text.replace('"two"', '"too"'));
    expect(spoilt).toEqual({
      keys: 1,
      devices: ["one"],
      place: "1-0 1", // Not the one behind what could not be read.
      warnings: [
        {
          message: "what was kept of who calls is spoilt: passed over from there on",
          file: path,
          line: expect.any(Number) as number,
          why: "it is torn or changed",
        },
      ],
    });
  });

  test.each([
    ["is of another form", (text: string) => text.replace(/^.*\n/, line(["version", 99])), "it is of form 99"],
    ["begins with something else", (text: string) => text.replace(/^.*\n/, ""), "it is not in its place"],
    ["is no text", () => "\0\0\0\0", "it is torn or changed"],
  ])("is passed over as a whole when it %s", async (_, spoil, why) => {
    const found = await keepThenSpoil(spoil);
    expect(found).toMatchObject({ keys: 0, devices: [], place: undefined, warnings: [{ line: 1, why }] });
  });

  test("may end in the middle of a line, after a crash", async () => {
    const { devices, warnings } = await keepThenSpoil((text) => `${text}0badc0de ["revoked","dev`);
    expect([devices, warnings.length]).toEqual([["one", "two"], 1]);
  });

  test("mutant: a line that is believed without its checksum is caught", async () => {
    const mutant = await importMutant<typeof real>(
      source,
      'text[8] === " " && text.slice(0, 8) === checksum(json)',
      "true",
    );
    await caught(async () => {
      expect((await keepThenSpoil((text) => text.replace('"two"', '"too"'), mutant)).devices).toEqual(["one"]);
    });
  });
});

/** What a process keeps that starts so many hours later. */
async function idsAfter(hours: number): Promise<readonly string[]> {
  const later = await openFile(real, { aheadMs: hours * hourMs });
  await later.file.stop(); // It has written what it keeps.
  return later.file.kept().revocations.map(({ id }) => id);
}

test("what no living token can need goes, with a day more for a clock that was put back", async () => {
  {
    await using first = await openFile();
    first.file.revoked(device("d"));
    first.file.revoked({ kind: "session", id: "s", untilMs: systemClock.now() });
  }
  expect(await idsAfter(23)).toEqual(["s", "d"]);
  expect(await idsAfter(25)).toEqual(["d"]);
  expect(await idsAfter(72)).toEqual(["d"]);
  expect(await idsAfter(74)).toEqual([]);
});

test("repeats of what is known take no room, and a file that has grown is written anew", async () => {
  await using first = await openFile();
  first.file.keysFetched(keys);
  for (let round = 0; round < 3; round++) first.file.revoked(device("d"));
  const text = await eventually(async () => {
    const found = await readFile(path, "utf8");
    expect(found).toContain('"d"');
    return found;
  });
  expect(text.split('"device","d"')).toHaveLength(2);
  // A session whose end moves on is a line each time, of which the last one counts.
  for (let round = 0; round < 30_000; round++) first.file.revoked({ kind: "session", id: "s", untilMs: round });
  await first.file.stop();
  const grown = (await stat(path)).size;
  await using second = await openFile();
  await eventually(async () => expect((await stat(path)).size).toBeLessThan(grown / 100));
  expect(second.file.kept().revocations).toContainEqual({ kind: "session", id: "s", untilMs: 29_999 });
});

test("a disk that takes nothing stops nobody, and is written once it does", async () => {
  await using first = await openFile();
  first.file.revoked(device("one"));
  await eventually(async () => expect(await readFile(path, "utf8")).toContain('"one"'));
  await first.file.stop();
  // A folder stands where the file is written before it takes its place.
  const obstacle = `${path}.partial`;
  await mkdir(obstacle);
  const second = await openFile();
  second.file.revoked(device("two"));
  await eventually(() => expect(second.warnings).toHaveLength(1));
  expect(second.warnings).toMatchObject([{ message: "what tells who calls cannot be kept yet" }]);
  await rm(obstacle, { recursive: true });
  await eventually(async () => expect(await readFile(path, "utf8")).toContain('"two"'));
  await second.file.stop();
});

function line(value: readonly unknown[]): string {
  const json = JSON.stringify(value);
  return `${Bun.hash.crc32(json).toString(16).padStart(8, "0")} ${json}\n`;
}
