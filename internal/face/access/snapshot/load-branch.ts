import type { RedisReader } from "../../../platform/redis/redis-store.ts";
import { floatsOf } from "../../shared/embedding.ts";
import { runIdOf } from "../../shared/fresh.ts";
import {
  activeFields,
  type ActiveGallery,
  type FaceModelRecord,
  modelFields,
  readActiveGallery,
  readFaceModel,
} from "../../shared/gallery.ts";
import { activeKey, denyKey, freshKey, galleryKeys, modelKey, readElementName } from "../../shared/key-schema.ts";
import type { BranchCopy, Filling } from "./branch-copy.ts";
import type { Copies } from "./copies.ts";
import type { Records } from "./records.ts";
import { bytesOfRows } from "./rows.ts";

/** What came of loading a branch. */
export type Loaded =
  | "loaded"
  /** No gallery of it is active. */
  | "none"
  /** It is larger than all copies together may be. */
  | "no_room"
  /** The store may show people who were erased: later. */
  | "not_fresh"
  /** What the branch's doors decide by was exchanged meanwhile, or the store was started again: load it anew. */
  | "outdated";

/**
 * Bytes of templates that one page brings about: Redis reads them in less than half a millisecond, in which it does nothing else. (64
 * faces of 512 numbers: 0.3 ms.)
 */
const pageBytes = 128 * 1024;
const pageFacesMin = 8;
/** Names of a deny-list that one page brings about. */
const deniedPage = 256;

/** From where to load, and into what. */
export interface LoadOptions {
  readonly store: RedisReader;
  readonly records: Pick<Records, "members" | "branch">;
  readonly copies: Copies;
  /** Resolves when all has been applied that the store held when it was called. */
  readonly caughtUp: (signal: AbortSignal) => Promise<void>;
}

/**
 * Loads a branch into a new copy, once the streams are followed: what changes meanwhile comes by them, and is younger than what is read here. Throws
 * UNAVAILABLE, reason STORE_UNAVAILABLE; the copy is then gone.
 */
export async function loadBranch(options: LoadOptions, branchId: string, signal: AbortSignal): Promise<Loaded> {
  const { copies } = options;
  await options.caughtUp(signal); // From here on no change is missed.
  const before = await readState(options.store, branchId);
  if (!before.isFresh) return "not_fresh";
  if (before.active === undefined || before.model === undefined) return "none";
  const faces = await options.store.client.hlen(galleryKeys(before.active).copy);
  if (!copies.makeRoom(bytesOfRows(faces, before.model.dimensions), branchId)) return "no_room";
  const copy = copies.begin(before.active, before.model);
  const filling = copy.fill();
  let isWhole = false;
  try {
    const taken = await takeIn(options, copy, filling, signal);
    if (taken !== "loaded") return taken;
    const after = await readState(options.store, branchId);
    // Changes between the first look and the begin of the copy were applied to none.
    isWhole = after.runId === before.runId && after.isFresh && isCurrent(copy, after);
    if (isWhole) await options.caughtUp(signal);
    isWhole &&= copies.has(copy);
    return isWhole ? "loaded" : "outdated";
  } finally {
    filling.end(isWhole);
    if (!isWhole) copies.drop(copy);
  }
}

/** Reads the deny-list, the faces with who they are, and the branch. */
async function takeIn(
  { store, records, copies }: LoadOptions,
  copy: BranchCopy,
  filling: Filling,
  signal: AbortSignal,
): Promise<Loaded> {
  const { active, model, branchId } = copy;
  for await (const page of pagesOf(store, denyKey(branchId), deniedPage))
    for (const [name] of page) filling.denied(name);
  const facesPerPage = Math.max(pageFacesMin, Math.floor(pageBytes / (4 * model.dimensions)));
  for await (const page of pagesOf(store, galleryKeys(active).copy, facesPerPage)) {
    signal.throwIfAborted();
    if (!copies.has(copy)) return "outdated";
    for (const [name, template] of page) {
      if (!filling.face(readElementName(name), floatsOf(template))) return "no_room";
    }
    if (!copies.makeRoom(0, branchId)) return "no_room";
    await readRecords(records, copy, filling);
  }
  await readRecords(records, copy, filling);
  return "loaded";
}

/** Reads the records that have not been read, or have changed since. */
export async function readRecords(
  records: Pick<Records, "members" | "branch">,
  copy: BranchCopy,
  filling: Filling,
): Promise<void> {
  if (copy.branch === "unread") filling.branch(await records.branch(copy.branchId));
  const people = copy.unread();
  if (people.length === 0) return;
  const found = await records.members(people);
  for (const [place, memberId] of people.entries()) filling.member(memberId, found[place]);
}

/** Fields and values of a hash; some may come twice, and what is there from beginning to end comes at least once. */
async function* pagesOf(
  { client }: RedisReader,
  key: string,
  count: number,
): AsyncGenerator<readonly (readonly [string, Buffer])[]> {
  let cursor = "0";
  do {
    const [next, flat] = (await client.callBuffer("HSCAN", key, cursor, "COUNT", count)) as [Buffer, Buffer[]];
    const page: [string, Buffer][] = [];
    for (let place = 0; place + 1 < flat.length; place += 2)
      page.push([(flat[place] as Buffer).toString(), flat[place + 1] as Buffer]);
    yield page;
    cursor = next.toString();
  } while (cursor !== "0");
}

/** The store and a branch in it at one moment. */
interface State {
  /** Names the process that answers. */
  readonly runId: string;
  readonly isFresh: boolean;
  readonly active: ActiveGallery | undefined;
  readonly model: FaceModelRecord | undefined;
}

async function readState({ client }: RedisReader, branchId: string): Promise<State> {
  const [info, mark, fields] = await Promise.all([
    client.info("server"),
    client.get(freshKey),
    client.hmget(activeKey(branchId), ...activeFields),
  ]);
  const runId = runIdOf(info);
  const active = readActiveGallery(branchId, fields);
  const model =
    active && readFaceModel(active.modelId, await client.hmgetBuffer(modelKey(active.modelId), ...modelFields));
  return { runId, isFresh: mark === runId, active, model };
}

/** Whether the copy is of what the branch's doors decide by; takes over what is younger in the store. */
function isCurrent(copy: BranchCopy, { active, model }: State): boolean {
  if (active === undefined || model === undefined) return false;
  return copy.apply({ kind: "gallery", active }) === "applied" && copy.apply({ kind: "model", model }) === "applied";
}
