import { assertNever } from "../../../platform/errors/assert-never.ts";
import type { FaceChange } from "../../shared/change-stream.ts";
import { type ActiveGallery, type FaceModelRecord, type GalleryId, isSameGallery } from "../../shared/gallery.ts";
import type { FaceElement } from "../../shared/key-schema.ts";
import type { RecordChange } from "./records.ts";
import { createRows, type Enrolment, type Rows } from "./rows.ts";
import type { ScanMemory } from "./scan-memory.ts";

/** What became of a copy by a change. */
export type Applied =
  | "applied"
  /** It is a copy of what the doors no more decide by. */
  | "outdated"
  /** There is no memory for it. */
  | "no_room";

/** A record as it is stored, `undefined` where there is none. */
export type Known = { readonly record: Buffer | undefined } | "unread";

/** A branch's faces, and all that its doors need beside them. */
export interface BranchCopy {
  readonly branchId: string;
  /** The gallery that the doors decide by. */
  readonly active: ActiveGallery;
  readonly model: FaceModelRecord;
  readonly rows: Rows;
  /** Enrolments that open no door. */
  readonly denied: ReadonlySet<string>;
  /** The branch's record, or that there is none, or that it has changed since it was read. */
  readonly branch: Known;
  /** Whether all of it is there, and it may be decided by. */
  readonly isReady: boolean;
  /** As `branch`, of a person with a face. */
  member(memberId: string): Known;
  /** People with faces whose records are to be read. */
  unread(): readonly string[];
  readonly bytes: number;

  /** Applies a change of the stream; one that concerns another branch or gallery does nothing. */
  apply(change: FaceChange): Applied;
  /** As `apply`. */
  applyRecord(change: RecordChange): void;

  /** Begins to take in what is read from the store: what changes from now on is younger, and counts. */
  fill(): Filling;
}

/** Takes in what was read from the store. Of what changed since it began, nothing is taken. */
export interface Filling {
  /** False: there is no room. */
  face(element: FaceElement, template: Float32Array): boolean;
  denied(enrolmentId: string): void;
  member(memberId: string, record: Buffer | undefined): void;
  branch(record: Buffer | undefined): void;
  /** Ends it. Ready: all of the branch has been taken in. */
  end(ready: boolean): void;
}

/** Makes an empty copy. */
export function createBranchCopy(memory: ScanMemory, active: ActiveGallery, model: FaceModelRecord): BranchCopy {
  const state: State = {
    active,
    model,
    rows: createRows(memory, model.dimensions),
    denied: new Set(),
    members: new Map(),
    unread: new Set(),
    branch: "unread",
    isReady: false,
    fillings: new Set(),
  };
  return {
    branchId: active.branchId,
    rows: state.rows,
    denied: state.denied,
    get active() {
      return state.active;
    },
    get model() {
      return state.model;
    },
    get branch() {
      return state.branch;
    },
    get isReady() {
      return state.isReady;
    },
    get bytes() {
      return state.rows.bytes;
    },
    member: (memberId) => (state.members.has(memberId) ? { record: state.members.get(memberId) } : "unread"),
    unread: () => [...state.unread],
    apply: (change) => apply(state, change),
    applyRecord: (change) => applyRecord(state, change),
    fill: () => fill(state),
  };
}

interface State {
  active: ActiveGallery;
  model: FaceModelRecord;
  readonly rows: Rows;
  readonly denied: Set<string>;
  readonly members: Map<string, Buffer | undefined>;
  readonly unread: Set<string>;
  branch: Known;
  isReady: boolean;
  /** Names of what has changed, for each filling under way. */
  readonly fillings: Set<Set<string>>;
}

function apply(state: State, change: FaceChange): Applied {
  const { active, model, rows } = state;
  switch (change.kind) {
    case "put":
    case "remove": {
      if (!isOf(active, change.gallery)) return "applied";
      changed(state, enrolmentOf(change));
      if (change.kind === "remove") rows.remove(change);
      const hasRoom = change.kind === "remove" || rows.put(change, change.templates);
      settle(state, change.memberId);
      return hasRoom ? "applied" : "no_room";
    }
    case "deny":
      if (change.branchId === active.branchId) state.denied.add(change.enrolmentId);
      return "applied";
    case "gallery":
      if (change.active.branchId !== active.branchId || change.active.revision <= active.revision) return "applied";
      if (!isSameGallery(change.active, active)) return "outdated";
      state.active = change.active;
      return "applied";
    case "model":
      if (change.model.modelId !== model.modelId || change.model.revision <= model.revision) return "applied";
      if (change.model.dimensions !== model.dimensions) return "outdated";
      state.model = change.model;
      return "applied";
    case "drop":
      return isOf(active, change.gallery) ? "outdated" : "applied";
    default:
      return assertNever(change);
  }
}

function applyRecord(state: State, change: RecordChange): void {
  if (change.kind === "branch") {
    if (change.branchId !== state.active.branchId) return;
    changed(state, branchName);
    state.branch = "unread";
    return;
  }
  const { memberId } = change;
  changed(state, memberOf(memberId));
  state.members.delete(memberId);
  settle(state, memberId);
}

function fill(state: State): Filling {
  const { rows, denied, members, unread, fillings } = state;
  const younger = new Set<string>();
  fillings.add(younger);
  return {
    face: (element, template) => {
      if (younger.has(enrolmentOf(element))) return true;
      const hasRoom = rows.add(element, template);
      settle(state, element.memberId);
      return hasRoom;
    },
    denied: (enrolmentId) => void denied.add(enrolmentId),
    member: (memberId, record) => {
      if (younger.has(memberOf(memberId))) return;
      members.set(memberId, record);
      unread.delete(memberId);
    },
    branch: (record) => {
      if (!younger.has(branchName)) state.branch = { record };
    },
    end: (ready) => {
      fillings.delete(younger);
      state.isReady ||= ready;
      if (fillings.size === 0) for (const memberId of members.keys()) settle(state, memberId);
    },
  };
}

/** Keeps to people who have faces. */
function settle({ rows, members, unread }: State, memberId: string): void {
  if (rows.facesOf(memberId).length === 0) {
    members.delete(memberId);
    unread.delete(memberId);
  } else if (!members.has(memberId)) unread.add(memberId);
}

function changed({ fillings }: State, name: string): void {
  for (const younger of fillings) younger.add(name);
}

function isOf(active: ActiveGallery, gallery: GalleryId): boolean {
  return isSameGallery({ ...gallery, keyId: active.keyId }, active);
}

/** Names in a filling: ids hold no line feed. */
const branchName = "branch";

function memberOf(memberId: string): string {
  return `member\n${memberId}`;
}

function enrolmentOf({ memberId, enrolmentId }: Enrolment): string {
  return `enrolment\n${memberId}\n${enrolmentId}`;
}
