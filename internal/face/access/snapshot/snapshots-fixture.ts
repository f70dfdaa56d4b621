import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { openRedis, openRedisReader, type OpenRedis } from "../../../platform/redis/open-redis.ts";
import type { RedisReader } from "../../../platform/redis/redis-store.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { silentLog } from "../../../platform/testing/local-stores.ts";
import { createChangeReader } from "../../shared/change-reader.ts";
import type { SearchOutcome } from "../../shared/face-engine.ts";
import { dimensions, type FaceFixture, openFaces } from "../../shared/face-fixture.ts";
import type { ActiveGallery } from "../../shared/gallery.ts";
import { createInstances, type Instances } from "../../shared/instances.ts";
import type { SnapshotMeters } from "./meters.ts";
import type { RecordChange, Records } from "./records.ts";
import * as whole from "./snapshots.ts";

/** Where the tests' records lie. */
const recordsKey = "{face}:d:changes";
export const memberKey = (memberId: string): string => `{face}:d:member:${memberId}`;
const branchKey = (branchId: string): string => `{face}:d:branch:${branchId}`;

/** What operators would see. */
export interface SeenMeters extends SnapshotMeters {
  readonly seen: { fired: number; won: number; refused: number; bytes: number; branches: number; ageMs: number };
}

/** A process at the doors. */
export interface Door extends AsyncDisposable {
  readonly snapshots: whole.Snapshots;
  readonly store: OpenRedis;
  readonly folder: string;
  readonly meters: SeenMeters;
  search(gallery: ActiveGallery, template: Float32Array, memberId?: string): Promise<SearchOutcome>;
  /** Resolves when the branch has a snapshot. */
  loaded(gallery: ActiveGallery): Promise<void>;
  /** Ends it as kill -9 does: it says nothing any more. */
  die(): Promise<void>;
}

/** How a test wants it. */
export interface DoorOptions {
  readonly folder?: string;
  readonly host?: string;
  readonly clock?: Clock;
  readonly snapshotBytesMax?: number;
  readonly snapshotAgeMsMax?: number;
  readonly createSnapshots?: typeof whole.createSnapshots;
  /** Stands between the process and the reads with which it loads. */
  readonly faces?: (reader: RedisReader) => RedisReader;
}

/** Starts one. */
export async function openDoor(url: string, options: DoorOptions = {}): Promise<Door> {
  const reader = openRedisReader({ url, name: "door" });
  const store = openRedis({ url, name: "door" });
  await Promise.all([reader.start(), store.start()]);
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "muin-door-")));
  const meters = seenMeters();
  const snapshots = (options.createSnapshots ?? whole.createSnapshots)({
    faces: options.faces?.(reader) ?? reader,
    door: store,
    records: recordsOf(reader),
    recordsKey,
    folder,
    host: options.host ?? "host",
    snapshotBytesMax: options.snapshotBytesMax ?? 64 * 1024 * 1024,
    snapshotAgeMsMax: options.snapshotAgeMsMax ?? 900_000,
    scansWaitingMax: 64,
    clock: options.clock ?? systemClock,
    random: systemRandom,
    log: silentLog,
    meters,
  });
  await snapshots.start();
  const search: Door["search"] = (gallery, template, memberId) =>
    snapshots.engine.search({ gallery, template, memberId }, new AbortController().signal);
  const close = async (): Promise<void> => {
    await Promise.all([reader.stop(), store.stop()]);
  };
  return {
    snapshots,
    store,
    folder,
    meters,
    search,
    loaded: async (gallery) => {
      const any = Float32Array.from({ length: dimensions }, (_, place) => (place === 0 ? 1 : 0));
      await eventually(async () => {
        const { kind } = await search(gallery, any);
        if (kind !== "searched") throw new Error(`no snapshot of the branch: ${kind}`);
      });
    },
    die: async () => {
      await close();
      await snapshots.stop();
    },
    [Symbol.asyncDispose]: async () => {
      await snapshots.stop();
      await close();
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The face Redis as mlops has it, and what access writes. */
export interface Faces extends FaceFixture {
  readonly instances: Instances;
  /** Makes a new active gallery with a model. */
  branch(branchId?: string): Promise<ActiveGallery>;
  writeMember(memberId: string, record: string): Promise<void>;
  writeBranch(branchId: string, record: string): Promise<void>;
  /** Resolves when every live process has applied a change. */
  applied(changeId: string): Promise<void>;
}

/** Opens it. */
export async function openFaceStore(url: string): Promise<Faces> {
  const faces = await openFaces(url);
  const instances = createInstances(faces.store);
  await faces.writer.putModel({
    modelId: "model",
    dimensions,
    mean: undefined,
    threshold: 0.5,
    margin: 0.05,
    duplicateThreshold: 0.6,
    revision: 1,
  });
  const write = async (kind: string, id: string, key: string, record: string): Promise<void> => {
    await faces.store.client
      .multi()
      .set(key, record)
      .xadd(recordsKey, "MAXLEN", "~", 1000, "*", "kind", kind, "id", id)
      .exec();
  };
  return {
    ...faces,
    instances,
    branch: (branchId) => faces.gallery(branchId),
    writeMember: (memberId, record) => write("member", memberId, memberKey(memberId), record),
    writeBranch: (branchId, record) => write("branch", branchId, branchKey(branchId), record),
    applied: async (changeId) => {
      await eventually(async () => {
        const behind = await instances.behind(changeId);
        if (behind.length > 0) throw new Error(`${behind.length} processes have not applied ${changeId}`);
      });
    },
  };
}

function recordsOf(reader: RedisReader): Records {
  return {
    members: async (ids) =>
      ids.length === 0 ? [] : (await reader.client.mgetBuffer(ids.map(memberKey))).map((record) => record ?? undefined),
    branch: async (branchId) => (await reader.client.getBuffer(branchKey(branchId))) ?? undefined,
    follow: () =>
      createChangeReader({ connection: reader.dedicated(), key: recordsKey, unpack: readRecordChange, blockMs: 50 }),
  };
}

function readRecordChange([, kind, , id]: readonly Buffer[]): RecordChange {
  return String(kind) === "member"
    ? { kind: "member", memberId: String(id) }
    : { kind: "branch", branchId: String(id) };
}

function seenMeters(): SeenMeters {
  const seen = { fired: 0, won: 0, refused: 0, bytes: 0, branches: 0, ageMs: 0 };
  return {
    seen,
    hedge: { fired: () => void (seen.fired += 1), won: () => void (seen.won += 1) },
    refused: () => void (seen.refused += 1),
    show: (now) => void Object.assign(seen, now),
  };
}
