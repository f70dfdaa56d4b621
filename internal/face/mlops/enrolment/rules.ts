import { fromBinary } from "@bufbuild/protobuf";
import { EnrolmentSchema, type Enrolment } from "../../../gen/muin/face/v1/enrolment_service_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { storeErrors } from "../../../platform/errors/store-errors.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import type { Database, Sql, Transaction } from "../../../platform/postgres/database.ts";
import { republishAll } from "../../../platform/resource/republish.ts";
import type { Bulkhead } from "../../../platform/rpc/client/create-bulkhead.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { facesMax } from "../../shared/face-writer.ts";
import type { Templates } from "../../shared/template.ts";
import type { BranchStore } from "../branch/store.ts";
import { mlopsErrors, refuse } from "../errors.ts";
import { announceEnrolment, type MlopsPublish } from "../events.ts";
import type { GalleryRules } from "../gallery/rules.ts";
import type { GalleryStore, StoredGallery } from "../gallery/store.ts";
import type { ModelStore, StoredModel } from "../model/store.ts";
import type { PersonStore } from "../person/store.ts";
import type { RequestIdentity, RequestStore } from "../request/store.ts";
import { managesAllFaces, type AccessRefusal, type EnrolmentAccess } from "./access.ts";
import { readEmbeddings } from "./embeddings.ts";
import { digestOf, type Faces, type GalleryFaces } from "./faces.ts";
import { toEnrolment } from "./message.ts";
import type { FaceSaga } from "./saga.ts";
import type { EnrolmentQuery, EnrolmentStore, FaceChange, RecordedConsent, StoredEnrolment } from "./store.ts";

/** What is wrong with a request_id that named another request. */
const reused = { field: "request_id", description: "was used for another request" };
/** Before this nobody agreed to what they are asked today: an earlier time is a mistake, and the database would record another. */
const consentFromMs = Date.UTC(2000, 0, 1);
/** By how much the clock of who records a consent may run ahead, in milliseconds. */
const consentAheadMsMax = 60_000;
/** Enrolments that are announced again in one transaction. */
const republishPage = 200;

/** Why faces were not written: nothing was changed. */
export type FaceRefusal =
  | AccessRefusal
  | Refusal<
      | "fieldInvalid"
      | "scopeMissing"
      | "requestIdReused"
      | "branchNotFound"
      | "userNotFound"
      | "modelNotFound"
      | "enrolmentNotFound"
      | "enrolmentExists"
      | "enrolmentErased"
      | "tooManyEmbeddings"
      | "embeddingInvalid"
      | "faceKnown"
      | "templateSecretMissing"
    >;

/** Faces that are to be written, and the request that asked for it. */
export interface FaceRequest {
  readonly embeddings: readonly Uint8Array[];
  /** Whether to write them although they are another person's. */
  readonly overrideDuplicate: boolean;
  /** Empty: the request is not remembered. */
  readonly requestId: string;
  /** SHA-256 of all that it asks for. */
  readonly fingerprint: Uint8Array;
}

/** A person who is to be enrolled. */
export interface NewEnrolment extends FaceRequest {
  readonly branchIds: readonly string[];
  readonly memberId: string;
  readonly modelId: string;
  readonly consent: Omit<RecordedConsent, "recorder">;
}

/**
 * Enrolments. What writes faces is refused, or done and known to all doors when it resolves. It throws UNAVAILABLE, reason OUTCOME_UNKNOWN, when it will be
 * finished or undone later; a repeat with its request_id tells which. Any other error: nothing was changed.
 */
export interface EnrolmentRules {
  enrol(caller: Caller, asked: NewEnrolment): Promise<Enrolment | FaceRefusal>;
  /** Adds a face to those that the enrolment has. */
  add(caller: Caller, enrolmentId: string, asked: FaceRequest): Promise<Enrolment | FaceRefusal>;
  /** Puts other faces in place of all. */
  replace(caller: Caller, enrolmentId: string, asked: FaceRequest): Promise<Enrolment | FaceRefusal>;
  get(caller: Caller, enrolmentId: string): Promise<StoredEnrolment | AccessRefusal | Refusal<"enrolmentNotFound">>;
  /** Enrolments that the caller may see after the id `after`, in the order of their ids. */
  list(
    caller: Caller,
    query: Omit<EnrolmentQuery, "viewerId">,
    after: string,
    limit: number,
  ): Promise<readonly StoredEnrolment[] | AccessRefusal>;
  /** Records the present state of every enrolment again, at its version. Returns how many. */
  republish(): Promise<number>;
}

/** Stores, what faces are turned and compared by, and who takes turns. */
export interface EnrolmentRulesDeps {
  readonly database: Database;
  readonly enrolments: EnrolmentStore;
  readonly galleries: Pick<GalleryStore, "hold" | "of" | "add">;
  readonly doors: Pick<GalleryRules, "tell">;
  readonly models: Pick<ModelStore, "find">;
  readonly branches: Pick<BranchStore, "known">;
  readonly people: Pick<PersonStore, "hold">;
  readonly requests: Pick<RequestStore, "hold" | "recall">;
  readonly access: EnrolmentAccess;
  readonly saga: FaceSaga;
  readonly faces: Pick<Faces, "put" | "read" | "nearestOther">;
  readonly templates: Templates;
  readonly publish: MlopsPublish;
  /** Each write of faces under way takes two connections of the database. */
  readonly turns: Bulkhead;
  readonly clock: Pick<Clock, "now">;
  readonly random: Random;
  readonly log: Logger;
}

export function createEnrolmentRules(deps: EnrolmentRulesDeps): EnrolmentRules {
  const { database, enrolments, access, publish } = deps;
  const { sql } = database;
  const write = faceWrites(deps);

  const change = (
    caller: Caller,
    enrolmentId: string,
    asked: FaceRequest,
    plan: (enrolment: StoredEnrolment) => { readonly keeps: boolean; readonly refusal?: FaceRefusal | undefined },
  ): Promise<Enrolment | FaceRefusal> =>
    write(caller, asked, async (on) => {
      const enrolment = await enrolments.find(on, enrolmentId);
      const refusal = await access.refusalToChange(on, caller, enrolment?.branchIds ?? []);
      if (refusal !== undefined) return refusal;
      if (enrolment === undefined) return refuse("enrolmentNotFound", { enrolment_id: enrolmentId });
      const planned = plan(enrolment);
      return planned.refusal ?? { enrolment, isNew: false, keeps: planned.keeps };
    });

  return {
    enrol: (caller, asked) => {
      const { memberId, modelId, consent } = asked;
      if (consent.timeMs < consentFromMs || consent.timeMs > deps.clock.now() + consentAheadMsMax) {
        return Promise.resolve(refuseField("consent.time", "must be from 2000-01-01 on, and not in the future"));
      }
      const branchIds = asked.branchIds.toSorted();
      return write(caller, asked, async (on, nowMs) => {
        const refusal = await access.refusalToChange(on, caller, branchIds);
        if (refusal !== undefined) return refusal;
        if (await enrolments.isEnrolled(on, memberId, modelId)) return refuse("enrolmentExists");
        const enrolment = {
          enrolmentId: deps.random.uuid(), // Another one each time: what was given up is denied for good.
          memberId,
          modelId,
          branchIds,
          faceCount: 0,
          consent: { ...consent, recorder: caller.principal },
          version: 1,
          createTimeMs: nowMs,
          updateTimeMs: nowMs,
        };
        return { enrolment, isNew: true, keeps: false };
      });
    },

    add: (caller, enrolmentId, asked) =>
      change(caller, enrolmentId, asked, ({ faceCount }) => ({
        keeps: true,
        refusal:
          faceCount + asked.embeddings.length > facesMax
            ? refuse("tooManyEmbeddings", { embeddings_max: `${facesMax}` })
            : undefined,
      })),

    replace: (caller, enrolmentId, asked) => change(caller, enrolmentId, asked, () => ({ keeps: false })),

    get: async (caller, enrolmentId) => {
      const enrolment = await enrolments.find(sql, enrolmentId);
      const refusal = await access.refusalToRead(sql, caller, enrolment);
      return refusal ?? enrolment ?? refuse("enrolmentNotFound", { enrolment_id: enrolmentId });
    },

    list: async (caller, asked, after, limit) => {
      const query = await access.visible(sql, caller, asked);
      return isRefusal(query) ? query : enrolments.list(sql, query, after, limit);
    },

    republish: () =>
      republishAll((after) =>
        database.transaction(async (tx) => {
          const page = await enrolments.lockPage(tx, after, republishPage);
          for (const enrolment of page) await announceEnrolment(tx, publish, enrolment);
          return { last: page.at(-1)?.enrolmentId ?? "", recorded: page.length };
        }),
      ),
  };
}

/** Whose faces are written. */
interface FacePlan {
  /** As it is before; of a new one, without faces. */
  readonly enrolment: StoredEnrolment;
  readonly isNew: boolean;
  /** Whether it keeps the faces that it has. */
  readonly keeps: boolean;
}

/** Reads whose faces are to be written, if the caller may. It is asked before the galleries are held, and again when they are. */
type Plan = (on: Sql, nowMs: number) => Promise<FacePlan | FaceRefusal>;

/** Writes faces: all that enrolling, adding and replacing have in common. */
function faceWrites(deps: EnrolmentRulesDeps) {
  const { database, enrolments, galleries, doors, saga, turns, clock, random, log } = deps;

  const inTurn = async (caller: Caller, asked: FaceRequest, plan: Plan): Promise<Enrolment | FaceRefusal> => {
    const request = { principal: caller.principal, requestId: asked.requestId, fingerprint: asked.fingerprint };
    const changeId = random.uuid();
    let isBegun = false;
    const work = async (tx: Transaction): Promise<StoredEnrolment | Enrolment | FaceRefusal> => {
      // The database tries a transaction again that another one got in the way of.
      const own = isBegun ? await saga.settle({ changeId }) : undefined;
      if (own !== undefined) return own;
      const known = await recall(deps, tx, request);
      if (known !== undefined) return known;
      const first = await plan(tx, clock.now());
      if (isRefusal(first)) return first;
      const { modelId, branchIds } = first.enrolment;
      const [, abandoned] = await Promise.all([
        galleries.hold(tx, modelId, branchIds),
        enrolments.changesAt(tx, modelId, branchIds),
      ]);
      for (const change of abandoned) await saga.settle(change);
      const planned = await plan(tx, clock.now());
      if (isRefusal(planned)) return planned;
      const prepared = await prepare(deps, tx, caller, asked, planned);
      if (isRefusal(prepared)) return prepared;
      const change: FaceChange = {
        changeId,
        enrolmentId: planned.enrolment.enrolmentId,
        modelId,
        branchIds,
        faceCount: prepared.faces[0]?.templates.length ?? 0,
        digest: new Uint8Array(Buffer.concat(prepared.faces.map(({ templates }) => digestOf(templates)))),
        request,
        overrides: prepared.overrides,
        startTimeMs: clock.now(),
      };
      isBegun = true;
      if (!(await begin(deps, planned, prepared.galleries, change))) {
        isBegun = false;
        return refuse("enrolmentExists");
      }
      await deps.faces.put(planned.enrolment, prepared.faces);
      return saga.complete(tx, change);
    };
    try {
      const outcome = await database.transaction(work);
      if (isRefusal(outcome)) return outcome;
      await doors.tell(outcome.branchIds);
      return "$typeName" in outcome ? outcome : toEnrolment(outcome);
    } catch (error) {
      const isNothingDone = error instanceof MuinError && error.reason === storeErrors.table.full.reason;
      if (!isBegun || isNothingDone) throw error;
      log.warn("a change of faces is left to the sweeper", { change_id: changeId, err: error });
      throw mlopsErrors.outcomeUnknown({ cause: error });
    }
  };

  return (caller: Caller, asked: FaceRequest, plan: Plan): Promise<Enrolment | FaceRefusal> =>
    asked.overrideDuplicate && !managesAllFaces(caller)
      ? Promise.resolve(refuse("scopeMissing", { scope: "faces.manage" }))
      : turns.run(() => inTurn(caller, asked, plan));
}

/** What a request has come to; finishes or undoes what it left half done. */
async function recall(
  { enrolments, galleries, requests, saga, clock }: EnrolmentRulesDeps,
  tx: Transaction,
  request: RequestIdentity,
): Promise<Enrolment | FaceRefusal | undefined> {
  if (request.requestId === "") return undefined;
  // Statements that are given together go in one trip, and one after the other.
  const [, begun, before] = await Promise.all([
    requests.hold(tx, request),
    enrolments.changeOf(tx, request),
    requests.recall(tx, request, clock.now()),
  ]);
  let known = before;
  if (begun !== undefined) {
    await galleries.hold(tx, begun.modelId, begun.branchIds);
    await saga.settle(begun);
    known = await requests.recall(tx, request, clock.now());
  }
  if (known === "erased") return refuse("enrolmentErased");
  if (known === "reused") return refuse("requestIdReused", { violations: [reused] });
  return known && fromBinary(EnrolmentSchema, known);
}

/** What is to be written, found good. */
interface PreparedFaces {
  readonly galleries: readonly StoredGallery[];
  /** All faces that the enrolment then has, by gallery, in the order of the branches. */
  readonly faces: readonly GalleryFaces[];
  /** Whether some are another person's. */
  readonly overrides: boolean;
}

/** Checks what is to be written, with the galleries held, and turns it into templates. */
async function prepare(
  deps: EnrolmentRulesDeps,
  tx: Transaction,
  caller: Caller,
  asked: FaceRequest,
  { enrolment, keeps }: FacePlan,
): Promise<PreparedFaces | FaceRefusal> {
  const { memberId, modelId, branchIds } = enrolment;
  const [status, known, model, galleries] = await Promise.all([
    deps.people.hold(tx, memberId),
    deps.branches.known(tx, branchIds),
    deps.models.find(tx, modelId),
    galleriesOf(deps, tx, modelId, branchIds),
  ]);
  if (status === undefined || status === "DELETED") return refuse("userNotFound", { user_id: memberId });
  const unknown = branchIds.find((branchId) => !known.includes(branchId));
  if (unknown !== undefined) return refuse("branchNotFound", { branch_id: unknown });
  if (model === undefined) return refuse("modelNotFound", { model_id: modelId });
  const units = readEmbeddings(asked.embeddings, model, (place) => (keeps ? "embedding" : `embeddings[${place}]`));
  if (isRefusal(units)) return units;

  const faces: GalleryFaces[] = [];
  let overrides = false;
  for (const gallery of galleries) {
    const added = units.map((unit) => deps.templates.turn(gallery, unit));
    if (!added.every((template) => template !== undefined)) {
      return refuse("templateSecretMissing", { branch_id: gallery.branchId });
    }
    if (await isAnothers(deps, gallery, added, memberId, model)) {
      if (!asked.overrideDuplicate) return refuse("faceKnown");
      overrides = true;
    }
    faces.push({ gallery, templates: keeps ? [...(await deps.faces.read(enrolment, gallery)), ...added] : added });
  }
  if (overrides) {
    deps.log.info("a face is enrolled although it is another person's", {
      enrolment_id: enrolment.enrolmentId,
      principal: caller.principal,
    });
  }
  return { galleries, faces, overrides };
}

/** The galleries of a model at branches, in their order: those that are not there yet as they will be made. */
async function galleriesOf(
  { galleries, templates, clock }: EnrolmentRulesDeps,
  tx: Transaction,
  modelId: string,
  branchIds: readonly string[],
): Promise<readonly StoredGallery[]> {
  const present = new Map((await galleries.of(tx, modelId, branchIds)).map((gallery) => [gallery.branchId, gallery]));
  return branchIds.map(
    (branchId) =>
      present.get(branchId) ?? {
        branchId,
        modelId,
        generation: 1,
        keyId: templates.keyId,
        state: "STANDBY",
        updateTimeMs: clock.now(),
      },
  );
}

/** Whether one of these faces is another person's in a gallery. */
async function isAnothers(
  { faces }: EnrolmentRulesDeps,
  gallery: StoredGallery,
  templates: readonly Float32Array[],
  memberId: string,
  { duplicateThreshold }: StoredModel,
): Promise<boolean> {
  for (const template of templates) {
    const score = await faces.nearestOther(gallery, template, memberId);
    if (score !== undefined && score >= duplicateThreshold) return true;
  }
  return false;
}

/** Records a change in a transaction of its own, before it is made. False when the person was enrolled elsewhere meanwhile. */
async function begin(
  { database, enrolments, galleries }: EnrolmentRulesDeps,
  { enrolment, isNew }: FacePlan,
  written: readonly StoredGallery[],
  change: FaceChange,
): Promise<boolean> {
  return database.transaction(async (tx) => {
    if (isNew && !(await enrolments.add(tx, enrolment))) return false;
    await galleries.add(tx, written);
    await enrolments.begin(tx, change);
    return true;
  });
}
