import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { type Component, createSequence } from "../../../platform/lifecycle/component.ts";
import type { RedisReader, RedisStore } from "../../../platform/redis/redis-store.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { createChangeReader } from "../../shared/change-reader.ts";
import { unpackChange } from "../../shared/change-stream.ts";
import { changesKey } from "../../shared/key-schema.ts";
import { type Copies, createCopies } from "./copies.ts";
import { createSnapshotEngine, type SnapshotEngine } from "./engine.ts";
import { createFollower } from "./follower.ts";
import { createFreshness, type Places } from "./freshness.ts";
import { createKeptBranches } from "./kept-branches.ts";
import { createLoader } from "./loader.ts";
import type { SnapshotMeters } from "./meters.ts";
import { createPresence } from "./presence.ts";
import type { Records } from "./records.ts";
import { createScanMemory } from "./scan-memory.ts";
import { createScanner } from "./scanner.ts";

/** How a process keeps snapshots. */
export interface SnapshotOptions {
  /** The face Redis, to read it. */
  readonly faces: RedisReader;
  /** The same, to write there how far this process is. */
  readonly door: RedisStore;
  readonly records: Records;
  /** The stream that `records` follows. */
  readonly recordsKey: string;
  /** The instance's folder, which one process at a time holds. */
  readonly folder: string;
  /** Name of the machine. */
  readonly host: string;
  readonly snapshotBytesMax: number;
  readonly snapshotAgeMsMax: number;
  readonly scansWaitingMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly meters: SnapshotMeters;
}

/** The snapshots of the branches that a process decides for. */
export interface Snapshots extends Component {
  readonly engine: SnapshotEngine;
}

/**
 * Makes them. A branch is loaded when it is asked for; from then on its copy follows the store. While it stops, and after another process has taken over the
 * folder, there is none to be used.
 */
export function createSnapshots(options: SnapshotOptions): Snapshots {
  const { faces: store, records, clock, log, meters } = options;
  let isOver = false;
  const memory = createScanMemory(options.snapshotBytesMax);
  const scanner = createScanner({ memory, waitingMax: options.scansWaitingMax, log, refused: () => meters.refused() });
  const copies: Copies = createCopies({
    memory,
    bytesMax: options.snapshotBytesMax,
    dropped: (branchId, why) => isOver || loader.dropped(branchId, why),
  });
  const streams = createStreams(options, copies, {
    moved: () => {
      freshness.applied();
      presence.tell();
      loader.look();
    },
    lost: () => freshness.lost(),
  });
  const freshness = createFreshness({ clock, appliedTo: () => streams.places });
  const ageMs = (): number => (isOver ? Infinity : freshness.ageMs());
  const presence = createPresence({
    ...options,
    store: options.door,
    ageMsMax: options.snapshotAgeMsMax,
    applied: () => streams.places?.faces,
    renewed: (ends, askedAtMs) => freshness.renewed(ends, askedAtMs),
    superseded: () => {
      isOver = true;
      copies.dropAll();
    },
  });
  const loader = createLoader({
    store,
    records,
    copies,
    clock,
    log,
    caughtUp: (signal) => {
      const caughtUp = freshness.caughtUp(signal);
      presence.tell();
      return caughtUp;
    },
    looked: () => meters.show({ bytes: copies.bytes, branches: copies.count, ageMs: ageMs() }),
  });
  const kept = createKeptBranches({ ...options, copies, want: (branchId) => loader.want(branchId) });
  const sequence = createSequence("snapshots", [
    scanner,
    ...streams.followers,
    presence,
    loader,
    ...(options.snapshotAgeMsMax > 0 ? [kept] : []), // Else none is ever used.
  ]);
  return {
    ...sequence,
    engine: createSnapshotEngine({
      copies,
      scanner,
      ageMs,
      ageMsMax: options.snapshotAgeMsMax,
      wanted: (branchId) => isOver || loader.want(branchId),
    }),
    stop: () => {
      isOver = true;
      return sequence.stop();
    },
  };
}

interface Streams {
  readonly followers: readonly Component[];
  /** How far they are. `undefined`: where one of them ends is not known yet. */
  readonly places: Places | undefined;
}

/** Follows both streams for the copies; whoever has missed a change of either has no copy any more. */
function createStreams(
  { faces: store, records, clock, log }: SnapshotOptions,
  copies: Copies,
  told: { readonly moved: () => void; readonly lost: () => void },
): Streams {
  const { moved } = told;
  const lost = (): void => {
    told.lost();
    copies.dropAll();
  };
  const faces = createFollower({
    name: "changes of faces",
    open: () => createChangeReader({ connection: store.dedicated(), key: changesKey, unpack: unpackChange }),
    apply: (change) => copies.apply(change),
    clock,
    log,
    moved,
    lost,
  });
  const people = createFollower({
    name: "changes of people and branches",
    open: () => records.follow(),
    apply: (change) => copies.applyRecord(change),
    clock,
    log,
    moved,
    lost,
  });
  return {
    followers: [faces, people],
    get places() {
      if (faces.position === undefined || people.position === undefined) return undefined;
      return { faces: faces.position, records: people.position };
    },
  };
}
