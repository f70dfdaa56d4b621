import { bytesOf, floatsOf } from "./embedding.ts";
import {
  type ActiveGallery,
  type FaceModelRecord,
  type GalleryId,
  modelFields,
  readFaceModel,
  writeFaceModel,
} from "./gallery.ts";

/** A change to the face Redis: all that a copy of it needs to follow, without a read. Each is the state after it, so that applying it again changes nothing. */
export type FaceChange =
  /** The faces of an enrolment in a gallery are now exactly these, by index. */
  | {
      readonly kind: "put";
      readonly gallery: GalleryId;
      readonly memberId: string;
      readonly enrolmentId: string;
      readonly templates: readonly Float32Array[];
    }
  /** An enrolment has no face in a gallery any more. */
  | { readonly kind: "remove"; readonly gallery: GalleryId; readonly memberId: string; readonly enrolmentId: string }
  /** An enrolment opens none of a branch's doors any more. */
  | { readonly kind: "deny"; readonly branchId: string; readonly enrolmentId: string; readonly atMs: number }
  /** A branch's doors decide by this gallery. */
  | { readonly kind: "gallery"; readonly active: ActiveGallery }
  /** A model is now this. */
  | { readonly kind: "model"; readonly model: FaceModelRecord }
  /** A gallery is gone with all its faces. */
  | { readonly kind: "drop"; readonly gallery: GalleryId };

/** A place in a stream: id of an entry, `<milliseconds>-<sequence>`; "0-0" before the first. */
export type ChangeId = string;

/** A change and its place. */
export interface ChangeEntry<Change> {
  readonly id: ChangeId;
  readonly change: Change;
}

/** What was read of a stream. */
export type ReadChanges<Change> =
  | {
      readonly kind: "read";
      /** In order; none when nothing came in the time that was waited. */
      readonly entries: readonly ChangeEntry<Change>[];
      /** Read on from here: id of the last entry, or where it was asked from. */
      readonly position: ChangeId;
    }
  /** Entries behind the position are gone, or the stream does not reach it: whoever follows must load anew what it follows. */
  | { readonly kind: "lost" };

/** Follows a stream of changes, on a connection of its own. */
export interface ChangeReader<Change> {
  /** The stream's end: entries after it are younger than anything that is read from the server after this call. Throws UNAVAILABLE, reason STORE_UNAVAILABLE. */
  end(): Promise<ChangeId>;
  /**
   * Reads what comes after a position, at most `entriesMax`; waits for it at most `blockMs`. One read at a time. Throws UNAVAILABLE, reason STORE_UNAVAILABLE: ask again
   * from the same position, the connection is sought again by itself.
   */
  read(position: ChangeId): Promise<ReadChanges<Change>>;
  /** Ends the connection, and with it the read under way. Idempotent. */
  stop(): void;
}

/** Whether `one` is the same place as `other` or a later one. */
export function isAtLeast(one: ChangeId, other: ChangeId): boolean {
  const [oneMs, oneSequence] = placeOf(one);
  const [otherMs, otherSequence] = placeOf(other);
  return oneMs > otherMs || (oneMs === otherMs && oneSequence >= otherSequence);
}

/** Both parts are beyond what a number holds exactly only in streams that no clock made. */
function placeOf(id: ChangeId): readonly [ms: bigint, sequence: bigint] {
  const [ms = "", sequence = ""] = id.split("-");
  return [BigInt(ms), BigInt(sequence)];
}

/** Field and value of a change's entry, in turn. */
export function packChange(change: FaceChange): (string | Buffer)[] {
  switch (change.kind) {
    case "put":
      return [
        ...packGallery(change.kind, change.gallery),
        "member",
        change.memberId,
        "enrolment",
        change.enrolmentId,
        "faces",
        String(change.templates.length),
        "templates",
        Buffer.concat(change.templates.map(bytesOf)),
      ];
    case "remove":
      return [...packGallery(change.kind, change.gallery), "member", change.memberId, "enrolment", change.enrolmentId];
    case "deny":
      return [
        "kind",
        change.kind,
        "branch",
        change.branchId,
        "enrolment",
        change.enrolmentId,
        "at",
        String(change.atMs),
      ];
    case "gallery":
      return [
        ...packGallery(change.kind, change.active),
        "key_id",
        change.active.keyId,
        "revision",
        String(change.active.revision),
      ];
    case "model":
      return ["kind", change.kind, "model", change.model.modelId, ...writeFaceModel(change.model)];
    case "drop":
      return packGallery(change.kind, change.gallery);
  }
}

/** Reads the fields of an entry, in turn field and value. Throws on what `packChange` does not make. */
export function unpackChange(entry: readonly Buffer[]): FaceChange {
  const fields = new Map<string, Buffer>();
  for (let place = 0; place + 1 < entry.length; place += 2)
    fields.set((entry[place] as Buffer).toString(), entry[place + 1] as Buffer);
  const text = (name: string): string => {
    const value = fields.get(name);
    if (value === undefined) throw new Error(`a change of faces has no ${name}`);
    return value.toString();
  };
  const gallery = (): GalleryId => ({
    branchId: text("branch"),
    modelId: text("model"),
    generation: Number(text("generation")),
  });
  const kind = text("kind") as FaceChange["kind"];
  switch (kind) {
    case "put":
      return {
        kind,
        gallery: gallery(),
        memberId: text("member"),
        enrolmentId: text("enrolment"),
        templates: unpackTemplates(fields.get("templates"), Number(text("faces"))),
      };
    case "remove":
      return { kind, gallery: gallery(), memberId: text("member"), enrolmentId: text("enrolment") };
    case "deny":
      return { kind, branchId: text("branch"), enrolmentId: text("enrolment"), atMs: Number(text("at")) };
    case "gallery":
      return { kind, active: { ...gallery(), keyId: text("key_id"), revision: Number(text("revision")) } };
    case "model": {
      const model = readFaceModel(
        text("model"),
        modelFields.map((field) => fields.get(field) ?? null),
      );
      if (model === undefined) throw new Error("a change of a face model is not whole");
      return { kind, model };
    }
    case "drop":
      return { kind, gallery: gallery() };
    default:
      throw new Error("a change of faces of an unknown kind");
  }
}

function packGallery(kind: FaceChange["kind"], gallery: GalleryId): string[] {
  return ["kind", kind, "branch", gallery.branchId, "model", gallery.modelId, "generation", String(gallery.generation)];
}

function unpackTemplates(bytes: Buffer | undefined, faces: number): readonly Float32Array[] {
  if (bytes === undefined || faces < 1) throw new Error("a put of faces has none");
  const size = bytes.length / faces;
  return Array.from({ length: faces }, (_, index) => floatsOf(bytes.subarray(index * size, (index + 1) * size)));
}
