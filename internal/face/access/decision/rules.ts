import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  Decision,
  DecisionReason,
  DecisionSource,
  EntryKind,
  EntrySchema,
  ReplayCheck,
  type Entry,
} from "../../../gen/muin/face/v1/entry_pb.ts";
import { createLruMap } from "../../../platform/cache/lru-map.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import type { EntryPasses } from "../../../platform/identity/entry-pass.ts";
import type { Attempts } from "../attempt/attempts.ts";
import type { Attempt, Settlement } from "../attempt/store.ts";
import { readMember } from "../copies/store-redis.ts";
import type { BranchCopy, CopyReader, MemberCopy, Visitor, VisitorReader } from "../copies/store.ts";
import type { Doubt } from "../doubt/doubt.ts";
import { accessErrors } from "../errors.ts";
import type { EntryQueue } from "../queue/entry-queue.ts";
import type { Faces, Found } from "./faces.ts";
import type { DecisionMeters } from "./meters.ts";
import { verdictOn } from "./verdict.ts";

/** What a device asks at a door. */
export interface Asked {
  readonly device: { readonly id: string; readonly branchIds: ReadonlySet<string> };
  readonly branchId: string;
  /** The header muin-branch; `undefined` where there is none. */
  readonly branchHeader: string | undefined;
  readonly capturedAtMs: number;
  readonly nonce: string;
  /** SHA-256 of the request. */
  readonly fingerprint: Buffer;
  /** When the request came, on the monotonic clock. */
  readonly arrivedAt: number;
}

/** A face that is shown at a door. */
export interface AskedFace extends Asked {
  readonly modelId: string;
  readonly embedding: Uint8Array;
  /** Hash of the embedding. */
  readonly embeddingHash: Buffer;
  /** The device's score that it is no picture or mask, 0 to 1. */
  readonly presentationScore: number | undefined;
  /** Whose face it is said to be; `undefined`: anybody's. */
  readonly memberId: string | undefined;
}

/** An entry pass that is shown at a door. */
export interface AskedPass extends Asked {
  readonly pass: string;
}

/** Decides at doors. Each method throws MuinError as AccessService says, and returns the entry once it is on disk. */
export interface DecisionRules {
  face(asked: AskedFace): Promise<Entry>;
  pass(asked: AskedPass): Promise<Entry>;
  exit(asked: Asked & { readonly memberId: string }): Promise<Entry>;
}

/** A capture is taken so far from the server's clock, either way. */
const captureSkewMs = 30_000;
/** That a pass was used is kept so long beyond its end, by the clocks of processes that may take it a little later. */
const passSkewMs = 120_000;
/** Entries that this process knows to be on disk; of older ones a repeat writes the entry again, which is recorded once all the same. */
const writtenMax = 10_000;

interface RulesDeps {
  readonly attempts: Attempts;
  readonly faces: Faces;
  readonly copies: CopyReader & VisitorReader;
  readonly doubt: Pick<Doubt, "look">;
  readonly passes: EntryPasses;
  readonly queue: Pick<EntryQueue, "append" | "checkRoom">;
  readonly meters: DecisionMeters;
  readonly presentationScoreMin: number;
  readonly clock: Clock;
  readonly random: Pick<Random, "uuid">;
}

/** Decides an attempt under an entry's id. */
type Decide = (entryId: string, check: ReplayCheck) => Promise<Settlement>;

export function createDecisionRules(deps: RulesDeps): DecisionRules {
  const { clock } = deps;
  const decideOnce = createDecideOnce(deps);
  const decideFace = createDecideFace(deps);
  const decidePass = createDecidePass(deps);
  return {
    face: (asked) => {
      const about = { embedding: asked.embeddingHash, isGuess: true };
      return decideOnce(asked, about, (entryId, check) => decideFace(asked, entryId, check));
    },

    pass: (asked) =>
      decideOnce(asked, { embedding: undefined, isGuess: true }, (entryId, check) => decidePass(asked, entryId, check)),

    exit: (asked) => {
      const { branchId, memberId } = asked;
      return decideOnce(asked, { embedding: undefined, isGuess: false }, (entryId, check) =>
        Promise.resolve({
          entry: entryOf(asked, entryId, check, { kind: EntryKind.EXIT, memberId }, clock),
          isDenial: false,
          branchId,
          memberId,
          moves: "out",
          unlessFull: undefined,
          pass: undefined,
        }),
      );
    },
  };
}

/** All that is asked before anything is decided, then the decision, once, and its entry on disk. */
function createDecideOnce(deps: RulesDeps) {
  const { attempts, queue, meters, clock, random } = deps;
  const written = createLruMap<true>(writtenMax);
  return async (asked: Asked, about: Pick<Attempt, "embedding" | "isGuess">, decide: Decide): Promise<Entry> => {
    checkAsked(asked, clock.now());
    queue.checkRoom();
    const { device, nonce, fingerprint } = asked;
    const attempt = { deviceId: device.id, nonce, fingerprint, ...about, entryId: random.uuid() };
    let isDecidedHere = false;
    const bytes = await attempts.once(attempt, async (entryId, check) => {
      const settlement = await decide(entryId, ReplayCheck[check]);
      isDecidedHere = true;
      return settlement;
    });
    const entry = fromBinary(EntrySchema, bytes);
    if (isDecidedHere) meters.decided(entry);
    // Whoever answers sees to it that the entry is recorded, also where another process decided: that one may have died since.
    if (written.get(entry.entryId) === undefined) {
      await queue.append(bytes);
      written.set(entry.entryId, true);
    }
    return entry;
  };
}

/** Decides whether a face opens a door. */
function createDecideFace(deps: RulesDeps) {
  const { faces, copies, doubt, presentationScoreMin, clock } = deps;
  return async (asked: AskedFace, entryId: string, check: ReplayCheck): Promise<Settlement> => {
    const { branchId, modelId, embedding, memberId } = asked;
    const beganAt = clock.monotonic();
    const [look, { found, searchMicros }, branch] = await Promise.all([
      doubt.look(branchId),
      faces
        .find({ branchId, modelId, embedding, memberId })
        .then((face) => ({ found: face, searchMicros: microsSince(beganAt, clock) })),
      copies.branch(branchId),
    ]);
    const made = {
      kind: memberId === undefined ? EntryKind.IDENTIFY : EntryKind.VERIFY,
      modelId,
      source: found.source === "store" ? DecisionSource.STORE : DecisionSource.SNAPSHOT,
      snapshotAgeMs: BigInt(Math.round(found.ageMs)),
      searchMicros,
    };
    const entry = (reason: DecisionReason, ofMember: string): Buffer =>
      entryOf(asked, entryId, check, { ...made, reason, decision: decisionOf(reason), memberId: ofMember }, clock);
    if (found.memberId === undefined) return strangers(branchId, entry(DecisionReason.NO_MATCH, ""));
    const hasScore = (asked.presentationScore ?? -1) >= presentationScoreMin;
    const who = { branchId, branch, member: await memberOf(copies, found), memberId: found.memberId };
    // What was read before the person was told again may be older than that.
    const isAnew = (await look.judge(found.memberId, found.source)) === "anew";
    const judged = isAnew ? { ...who, ...(await readCopies(copies, branchId, found.memberId)) } : who;
    return settlementOf(judged, hasScore, clock.now(), entry);
  };
}

/** Decides whether a pass opens a door. */
function createDecidePass(deps: RulesDeps) {
  const { passes, copies, doubt, clock } = deps;
  return async (asked: AskedPass, entryId: string, check: ReplayCheck): Promise<Settlement> => {
    const { branchId } = asked;
    const entry = (reason: DecisionReason, ofMember: string): Buffer =>
      entryOf(
        asked,
        entryId,
        check,
        { kind: EntryKind.PASS, reason, decision: decisionOf(reason), memberId: ofMember },
        clock,
      );
    const invalid = strangers(branchId, entry(DecisionReason.PASS_INVALID, ""));
    const pass = await passes.verify(asked.pass);
    if (pass === "unavailable") throw accessErrors.entryPassUnavailable();
    if (typeof pass === "string" || pass.branchId !== branchId) return invalid;
    const { passId, memberId, expireMs } = pass;
    const who = { branchId, memberId, ...(await visitorOf(copies, doubt, branchId, memberId)) };
    // A pass needs no score: nobody shows a mask of one.
    const settlement = settlementOf(who, true, clock.now(), entry);
    const keptMs = Math.max(0, expireMs - clock.now()) + passSkewMs;
    return { ...settlement, pass: { passId, keptMs, entryIfUsed: invalid.entry } };
  };
}

/** The holder of a pass and the branch, as they may be judged now. Throws RECORDS_UNAVAILABLE. */
async function visitorOf(
  copies: CopyReader & VisitorReader,
  doubt: Pick<Doubt, "look">,
  branchId: string,
  memberId: string,
): Promise<Visitor> {
  try {
    const look = await doubt.look(branchId);
    const { branch, member, by } = await copies.visitor(branchId, memberId);
    // What was read before the person was told again may be older than that.
    const isAnew = (await look.judge(memberId, by)) === "anew";
    return isAnew ? await readCopies(copies, branchId, memberId) : { branch, member };
  } catch (error) {
    const isAway = error instanceof MuinError && error.reason === "FACE_STORE_UNAVAILABLE";
    throw isAway ? accessErrors.recordsUnavailable({ cause: error }) : error;
  }
}

async function readCopies(copies: CopyReader, branchId: string, memberId: string) {
  const [branch, member] = await Promise.all([copies.branch(branchId), copies.member(memberId)]);
  return { branch, member };
}

/** The entry of a decision that is taken now. */
function entryOf(
  asked: Asked,
  entryId: string,
  check: ReplayCheck,
  made: MessageInitShape<typeof EntrySchema>,
  clock: Pick<Clock, "now" | "monotonic">,
): Buffer {
  const { branchId, device, capturedAtMs, arrivedAt } = asked;
  const entry = create(EntrySchema, {
    entryId,
    branchId,
    deviceId: device.id,
    replayCheck: check,
    captureTime: timestampFromMs(capturedAtMs),
    decideTime: timestampFromMs(clock.now()),
    decideMicros: microsSince(arrivedAt, clock),
    ...made,
  });
  return Buffer.from(toBinary(EntrySchema, entry));
}

/** What a device may not ask, whatever the face. Throws MuinError. */
function checkAsked({ device, branchId, branchHeader, capturedAtMs }: Asked, nowMs: number): void {
  if (!device.branchIds.has(branchId)) throw accessErrors.branchNotOfDevice();
  if (branchHeader !== undefined && branchHeader !== branchId) throw accessErrors.branchHeaderDiffers();
  if (Math.abs(nowMs - capturedAtMs) > captureSkewMs) throw accessErrors.captureTime({ server_time_ms: String(nowMs) });
}

/** What came of a person who was recognised. `entry` makes the entry for a reason. */
function settlementOf(
  who: {
    readonly branchId: string;
    readonly branch: BranchCopy | undefined;
    readonly member: MemberCopy | undefined;
    readonly memberId: string;
  },
  hasPresentationAttackScore: boolean,
  atMs: number,
  entry: (reason: DecisionReason, memberId: string) => Buffer,
): Settlement {
  const { reason, capacityMax } = verdictOn(who, hasPresentationAttackScore, atMs);
  // Of who is deleted nothing is kept, though their face may still be found for a moment.
  const memberId = who.member?.status === "DELETED" ? "" : who.memberId;
  return {
    entry: entry(reason, memberId),
    isDenial: false,
    branchId: who.branchId,
    memberId,
    moves: reason === DecisionReason.ADMITTED ? "in" : undefined,
    unlessFull: capacityMax === undefined ? undefined : { capacityMax, entry: entry(DecisionReason.FULL, memberId) },
    pass: undefined,
  };
}

/** What came of a face that is nobody's. */
function strangers(branchId: string, entry: Buffer): Settlement {
  return { entry, isDenial: true, branchId, memberId: "", moves: undefined, unlessFull: undefined, pass: undefined };
}

function decisionOf(reason: DecisionReason): Decision {
  return reason === DecisionReason.ADMITTED ? Decision.GRANTED : Decision.DENIED;
}

/** The copy of a person who was found: as the engine read it beside, else read now. A snapshot knows of everybody in it whether there is one. */
function memberOf(copies: CopyReader, { memberId, source, beside }: Found): Promise<MemberCopy | undefined> {
  if (beside === undefined && source === "store") return copies.member(memberId ?? "");
  return Promise.resolve(beside && readMember(beside));
}

function microsSince(monotonicMs: number, clock: Pick<Clock, "monotonic">): bigint {
  return BigInt(Math.max(0, Math.round((clock.monotonic() - monotonicMs) * 1000)));
}
