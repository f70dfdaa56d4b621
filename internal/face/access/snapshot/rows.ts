import type { Candidate } from "../../shared/face-engine.ts";
import { elementName, type FaceElement } from "../../shared/key-schema.ts";
import { strideOf } from "./quantise.ts";
import { pageBytes, pageLayout, type ScanMemory } from "./scan-memory.ts";
import { createSlots, type Slots } from "./slots.ts";

/** A face of a gallery. */
export interface Face extends FaceElement, Candidate {
  readonly slot: number;
}

/** Names an enrolment. */
export type Enrolment = Pick<FaceElement, "memberId" | "enrolmentId">;

/** The faces of a gallery: exact, and in whole numbers for scans. */
export interface Rows extends Pick<Slots, "layout" | "errors" | "free"> {
  /** Makes the faces of an enrolment exactly these. False: there is no room, and it has none or some of them now. Throws on what is no template of the gallery. */
  put(enrolment: Enrolment, templates: readonly Float32Array[]): boolean;
  /** Adds a face, or puts it in the place of the one of its name. As `put`. */
  add(element: FaceElement, template: Float32Array): boolean;
  remove(enrolment: Enrolment): void;
  /** All faces of a person. */
  facesOf(memberId: string): readonly Face[];
  /** The face in a slot. `undefined`: none. */
  at(slot: number): Face | undefined;
  /** All faces. */
  all(): readonly Face[];
  /** Grows with each face that is written. */
  readonly version: number;
  /** Faces that were written since, and are still there. `undefined`: it was too long ago. */
  since(version: number): readonly Face[] | undefined;
  readonly count: number;
  /** Memory that it takes, all in all, about. */
  readonly bytes: number;
}

/** Writes that are remembered at least: more than come while a scan is under way. */
const writesKept = 1024;
/** What a face takes beside its numbers: its names, and its place in what finds it. */
const faceOverheadBytes = 400;

/** About how much memory so many faces take. */
export function bytesOfRows(faces: number, dimensions: number): number {
  const pages = Math.ceil(faces / pageLayout(strideOf(dimensions)).rows);
  return pages * pageBytes + faces * (4 * dimensions + faceOverheadBytes);
}

/** Makes an empty gallery. */
export function createRows(memory: ScanMemory, dimensions: number): Rows {
  const slots = createSlots(memory, dimensions);
  const bySlot: (Face | undefined)[] = [];
  const people = new Map<string, readonly Face[]>();
  let written: Face[] = [];
  let forgotten = 0;
  let count = 0;

  /** Drops those of a person's faces that `isOld` says. */
  const dropOf = (memberId: string, isOld: (face: Face) => boolean): void => {
    const kept = (people.get(memberId) ?? []).filter((face) => {
      if (!isOld(face)) return true;
      slots.drop(face.slot);
      bySlot[face.slot] = undefined;
      count -= 1;
      return false;
    });
    if (kept.length === 0) people.delete(memberId);
    else people.set(memberId, kept);
  };
  const add: Rows["add"] = (element, template) => {
    if (template.length !== dimensions || !template.some((value) => value !== 0))
      throw new Error("a template in the face store is not one of its model");
    const { memberId, enrolmentId, index } = element;
    dropOf(memberId, (face) => face.enrolmentId === enrolmentId && face.index === index);
    const slot = slots.write(template);
    if (slot === undefined) return false;
    const face: Face = { memberId, enrolmentId, index, name: elementName(element), template, slot };
    bySlot[slot] = face;
    people.set(memberId, [...(people.get(memberId) ?? []), face]);
    count += 1;
    written.push(face);
    if (written.length > 2 * writesKept) {
      forgotten += written.length - writesKept;
      written = written.slice(-writesKept);
    }
    return true;
  };
  const remove: Rows["remove"] = ({ memberId, enrolmentId }) =>
    dropOf(memberId, (face) => face.enrolmentId === enrolmentId);

  return {
    put: ({ memberId, enrolmentId }, templates) => {
      remove({ memberId, enrolmentId });
      return templates.every((template, index) => add({ memberId, enrolmentId, index }, template));
    },
    add,
    remove,
    facesOf: (memberId) => people.get(memberId) ?? [],
    at: (slot) => bySlot[slot],
    all: () => bySlot.filter((face) => face !== undefined),
    since: (version) => {
      if (version < forgotten) return undefined;
      return written.slice(version - forgotten).filter((face) => bySlot[face.slot] === face);
    },
    layout: () => slots.layout(),
    errors: slots.errors,
    free: () => slots.free(),
    get version() {
      return forgotten + written.length;
    },
    get count() {
      return count;
    },
    get bytes() {
      return slots.bytes + count * (4 * dimensions + faceOverheadBytes);
    },
  };
}
