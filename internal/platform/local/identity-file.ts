import { open, stat, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../clock/clock.ts";
import { assertNever } from "../errors/assert-never.ts";
import type { KeptPlaces } from "../events/broker.ts";
import type { IdentityKeeper, KeptIdentity, KeptRevocation } from "../identity/identity-keeper.ts";
import type { TokenKey } from "../identity/key-set.ts";
import { revocationLifeMs } from "../identity/revocations.ts";
import { clockSkewMs, tokenAheadMsMax } from "../identity/token-claims.ts";
import { deviceRevocationLifeMs, withdrawalLifeMs } from "../identity/token-verifier.ts";
import type { Component } from "../lifecycle/component.ts";
import { createLoop } from "../lifecycle/loop.ts";
import type { Logger } from "../telemetry/logger.ts";
import { readText, replaceFile } from "./files.ts";

/** Name of the file in its folder. */
const fileName = "identity.log";
/** Form of the file: one of another form is passed over. */
const version = 1;
/** A file that is larger is not read. */
const bytesMax = 256 << 20;
/** The file is written anew when so many bytes of it, and most of them, are over. */
const overBytesMax = 1 << 20;
/** What need not be on disk at once is written so often, in milliseconds. */
const writeEveryMs = 1000;
/** How many are kept of each kind; of devices as many as are remembered, so that none that is remembered gets lost. */
const keptMax = { session: 200_000, device: 1_000_000, service: 10_000, pass: 200_000 } as const;
/** How long each kind is kept: as long as a token may live, and a day more, in which this clock may be put back. */
const keptMs = {
  session: revocationLifeMs + tokenAheadMsMax,
  device: deviceRevocationLifeMs + tokenAheadMsMax,
  service: withdrawalLifeMs + tokenAheadMsMax,
  pass: clockSkewMs + tokenAheadMsMax,
} as const;

type Kind = KeptRevocation["kind"];

/** Kind, id, until when, and when it was kept, both in milliseconds since 1970. */
type RevokedLine = readonly ["revoked", Kind, string, number, number];

/** A line of the file. */
type Line =
  | readonly ["version", number]
  | readonly ["keys", readonly TokenKey[]]
  | RevokedLine
  | readonly ["place", number, string]
  /** What was read of the bus is not all here: the places hold no more. */
  | readonly ["no places"]
  | readonly ["unheard", boolean];

/** Keeps who calls, and how far the process has read of what was revoked. */
export interface IdentityFile extends IdentityKeeper, KeptPlaces, Component {}

/**
 * Keeps in a file of `folder`, which must be there and held from `start` to `stop`. Each line stands for a change and has a checksum. What was revoked
 * stands before the place up to which it was read, so that whatever a crash or a fault of the disk leaves is true: from a line that cannot be
 * read on, the file is passed over, with a word in the log. The revocation of a device or a pass is written at once, all others within a second. A
 * disk that takes nothing stops nobody: it is written once there is room.
 */
export function createIdentityFile({
  folder,
  clock,
  log,
}: {
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Logger;
}): IdentityFile {
  const path = join(folder, fileName);
  const state = createState(clock);
  const file = createLineFile(path, () => state.lines());
  let isFailing = false;

  const write = async (): Promise<void> => {
    try {
      await file.write();
      if (isFailing) log.info("what tells who calls is kept again", { file: path });
      isFailing = false;
    } catch (error) {
      if (!isFailing) log.warn("what tells who calls cannot be kept yet", { file: path, err: error });
      isFailing = true;
    }
  };
  const note = (line: Line, isUrgent = false): void => {
    for (const kept of state.apply(line)) file.add(kept);
    if (isUrgent) void write();
  };
  const loop = createLoop({
    name: "identity file",
    clock,
    everyMs: writeEveryMs,
    atStop: true,
    work: write,
    onFailure: (error) => log.error("the identity file", { err: error }), // `write` never rejects.
  });
  return {
    name: "identity file",
    start: async () => {
      const problem = await load(path, state);
      if (problem !== undefined) log.warn("what was kept of who calls is spoilt: passed over from there on", problem);
      await loop.start();
    },
    stop: async () => {
      await loop.stop();
      await file.close();
    },
    kept: () => state.kept(),
    keysFetched: (keys) => note(["keys", keys], true),
    revoked: ({ kind, id, untilMs }) =>
      note(["revoked", kind, id, untilMs, clock.now()], kind === "device" || kind === "pass"),
    unheard: (isUnheard) => note(["unheard", isUnheard], true),
    placeOf: (partition) => state.placeOf(partition),
    moved: (partition, place) => note(["place", partition, place]),
  };
}

/** What was revoked, of each kind as much as is kept. */
function createRevoked(clock: Pick<Clock, "now">) {
  const revoked: Readonly<Record<Kind, Map<string, { readonly untilMs: number; readonly atMs: number }>>> = {
    session: new Map(),
    device: new Map(),
    service: new Map(),
    pass: new Map(),
  };
  const kinds = Object.keys(revoked) as Kind[];
  const forgetPassed = (kind: Kind): void => {
    for (const [id, { untilMs, atMs }] of revoked[kind]) {
      if (Math.max(untilMs, atMs) + keptMs[kind] >= clock.now()) return; // Those that follow came later.
      revoked[kind].delete(id);
    }
  };
  return {
    /** Says whether it is new, and whether another had to go for it that may still matter. */
    add: ([, kind, id, untilMs, atMs]: RevokedLine): "known" | "new" | "crowded" => {
      const ids = revoked[kind];
      const known = ids.get(id);
      if (known !== undefined && (kind === "device" || known.untilMs >= untilMs)) return "known";
      ids.delete(id);
      ids.set(id, { untilMs, atMs });
      if (ids.size > keptMax[kind]) forgetPassed(kind);
      if (ids.size <= keptMax[kind]) return "new";
      const [oldest] = ids.keys();
      ids.delete(oldest!);
      return "crowded";
    },
    lines: (): readonly RevokedLine[] => {
      for (const kind of kinds) forgetPassed(kind);
      return kinds.flatMap((kind) =>
        Array.from(revoked[kind], ([id, { untilMs, atMs }]): RevokedLine => ["revoked", kind, id, untilMs, atMs]),
      );
    },
  };
}

/** What the lines of a file come to. */
function createState(clock: Pick<Clock, "now">) {
  let keys: readonly TokenKey[] = [];
  let isUnheard = false;
  let keepsPlaces = true;
  const places = new Map<number, string>();
  const revoked = createRevoked(clock);

  const revoke = (line: RevokedLine): readonly Line[] => {
    const added = revoked.add(line);
    if (added === "known") return [];
    if (added === "new" || !keepsPlaces) return [line];
    // What is not all here must be read again.
    keepsPlaces = false;
    places.clear();
    return [line, ["no places"]];
  };
  return {
    /** Takes a line in; returns the lines to keep of it. */
    apply: (line: Line): readonly Line[] => {
      switch (line[0]) {
        case "keys":
          if (Bun.deepEquals(keys, line[1])) return [];
          keys = line[1];
          return [line];
        case "revoked":
          return revoke(line);
        case "place":
          if (!keepsPlaces || places.get(line[1]) === line[2]) return [];
          places.set(line[1], line[2]);
          return [line];
        case "no places":
          places.clear();
          return [line];
        case "unheard":
          if (isUnheard === line[1]) return [];
          isUnheard = line[1];
          return [line];
        case "version":
          return [];
        default:
          return assertNever(line);
      }
    },
    /** All of it, as a file says it that is written anew. */
    lines: (): readonly Line[] => [
      ["version", version],
      ["keys", keys],
      ...revoked.lines(),
      ...Array.from(places, ([partition, place]): Line => ["place", partition, place]),
      ["unheard", isUnheard],
    ],
    kept: (): KeptIdentity => ({
      keys,
      isUnheard,
      revocations: revoked.lines().map(([, kind, id, untilMs]) => ({ kind, id, untilMs })),
    }),
    placeOf: (partition: number) => places.get(partition),
  };
}

/** Reads a file into `state`. Returns from where on it was passed over; `undefined` when all of it was read, or there is none. */
async function load(
  path: string,
  state: Pick<ReturnType<typeof createState>, "apply">,
): Promise<{ readonly file: string; readonly line: number; readonly why: string } | undefined> {
  const spoilt = (line: number, why: string) => ({ file: path, line, why });
  const size = await stat(path).then(
    (found) => found.size,
    () => 0, // There is none yet.
  );
  if (size > bytesMax) return spoilt(1, `it has ${size} bytes`);
  const lines = ((await readText(path)) ?? "").split("\n");
  if (lines.length === 1 && lines[0] === "") return undefined;
  for (const [index, text] of lines.entries()) {
    if (index === lines.length - 1 && text === "") return undefined; // Behind the last line.
    const line = decode(text);
    if (line === undefined) return spoilt(index + 1, "it is torn or changed");
    if ((index === 0) !== (line[0] === "version")) return spoilt(index + 1, "it is not in its place");
    if (line[0] === "version" && line[1] !== version) return spoilt(index + 1, `it is of form ${line[1]}`);
    state.apply(line);
  }
  return undefined;
}

function encode(line: Line): string {
  const json = JSON.stringify(line);
  return `${checksum(json)} ${json}\n`;
}

function decode(text: string): Line | undefined {
  const json = text.slice(9);
  // What has its checksum is what was written.
  return text[8] === " " && text.slice(0, 8) === checksum(json) ? (JSON.parse(json) as Line) : undefined;
}

function checksum(text: string): string {
  return Bun.hash.crc32(text).toString(16).padStart(8, "0");
}

/** A file of lines that grows at its end and is written anew, from `all`, at first, after a failure, and when most of it is over. */
function createLineFile(path: string, all: () => readonly Line[]) {
  let waiting: string[] = [];
  /** The last one of each partition; written behind what was revoked before it. */
  const places = new Map<number, string>();
  let file: FileHandle | undefined;
  let addedBytes = 0;
  let firstBytes = 0;
  let last: Promise<void> = Promise.resolve();
  /** After that the file is another process's. */
  let isClosed = false;

  const close = async (): Promise<void> => {
    const open = file;
    file = undefined;
    await open?.close();
  };
  const writeAnew = async (): Promise<void> => {
    await close();
    [waiting, addedBytes] = [[], 0];
    places.clear();
    const content = all().map(encode).join("");
    firstBytes = content.length;
    await replaceFile(path, content, { mode: 0o600 });
    file = await open(path, "a");
  };
  const append = async (to: FileHandle): Promise<void> => {
    const content = [...waiting, ...places.values()].join("");
    if (content === "") return;
    waiting = [];
    places.clear();
    addedBytes += content.length;
    try {
      await to.appendFile(content);
      await to.datasync();
    } catch (error) {
      await close().catch(() => undefined); // The error says more than that of what it led to.
      throw error;
    }
  };
  const isOver = (): boolean => addedBytes > Math.max(overBytesMax, firstBytes);
  const write = (): Promise<void> => (file === undefined || isOver() ? writeAnew() : append(file));
  return {
    add: (line: Line): void => {
      if (line[0] === "place") places.set(line[1], encode(line));
      else waiting.push(encode(line));
      if (line[0] === "no places") places.clear();
    },
    /** Resolves when all that was added is on disk. One at a time. */
    write: (): Promise<void> => (last = last.catch(() => undefined).then(() => (isClosed ? undefined : write()))),
    /** What is added later is not written. */
    close: async (): Promise<void> => {
      isClosed = true;
      await last.catch(() => undefined); // Whoever wrote was told.
      await close();
    },
  };
}
