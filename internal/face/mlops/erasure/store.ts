import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** The steps of an erasure, in the order in which they are told. */
export const erasureSteps = [
  "RECORDED",
  "DENIED",
  "APPLIED",
  "REMOVED",
  "PROBED",
  "PURGED",
  "SETTLED",
  "SIGNED",
] as const;

/** A step of an erasure. */
export type ErasureStep = (typeof erasureSteps)[number];

/** A step that was taken. Times are in milliseconds since the Unix epoch. */
export interface TakenStep {
  readonly step: ErasureStep;
  readonly timeMs: number;
  /** How, in a few words for people; empty where there is nothing to say. */
  readonly detail: string;
  /** The change of the face store by which doors learn of it, for DENIED and REMOVED; else empty. */
  readonly changeId: string;
}

/** An entry of the ledger: a face that is or was to be erased. It is never removed. */
export interface StoredErasure {
  readonly erasureId: string;
  readonly enrolmentId: string;
  /** Empty once they are deleted. */
  readonly memberId: string;
  readonly modelId: string;
  readonly branchIds: readonly string[];
  /** Who asked, such as "person:<id>"; empty once that person is deleted. */
  readonly principal: string;
  /** aggregate_version of the enrolment's FaceVectorErased. */
  readonly version: number;
  readonly createTimeMs: number;
  /** In the order of `erasureSteps`. RECORDED is always among them. */
  readonly steps: readonly TakenStep[];
  /** Empty until it is signed. */
  readonly receipt: string;
}

/** What replaying the ledger needs of an entry. */
export interface LedgerEntry extends Pick<
  StoredErasure,
  "erasureId" | "enrolmentId" | "memberId" | "branchIds" | "createTimeMs"
> {
  /** Whether it has its receipt. */
  readonly isSigned: boolean;
}

/** The ledger of erasures: one for each enrolment that was erased. */
export interface ErasureStore {
  /** `undefined`: there is none. */
  get(sql: Sql, erasureId: string): Promise<StoredErasure | undefined>;
  /** That of an enrolment. */
  find(sql: Sql, enrolmentId: string): Promise<StoredErasure | undefined>;
  /** Those of a person, the oldest first. */
  ofMember(sql: Sql, memberId: string, limit: number): Promise<readonly StoredErasure[]>;
  /** How many of a person have no receipt yet. Those that a transaction under way adds are not counted. */
  unsignedOfMember(sql: Sql, memberId: string): Promise<number>;
  /** Adds one with its step RECORDED. The enrolment must be locked by `tx`, and have none. It is due at once. */
  add(tx: Transaction, erasure: Omit<StoredErasure, "steps" | "receipt">): Promise<void>;
  /** Notes that a step was taken; one that was taken before stays as it was. */
  took(sql: Sql, erasureId: string, step: TakenStep): Promise<void>;
  /** Forgets that steps were taken, so that they are taken again. */
  retake(sql: Sql, erasureId: string, steps: readonly ErasureStep[]): Promise<void>;
  /** Locks one until the transaction ends. */
  lock(tx: Transaction, erasureId: string): Promise<StoredErasure | undefined>;
  /** Ends one that is locked: its receipt, and the step SIGNED. Its denials are due to be forgotten at `forgetMs`. */
  sign(tx: Transaction, erasureId: string, receipt: string, timeMs: number, forgetMs: number): Promise<void>;
  /**
   * Takes up those that are due, so that nobody else does within `forMs`: those without a receipt, and those whose denials are to be forgotten. At most
   * `limit`, those first that have been due longest. None is due later than `aheadMs` from now, unless the clock ran ahead: those are due too.
   */
  takeUp(
    sql: Sql,
    at: { readonly nowMs: number; readonly forMs: number; readonly aheadMs: number },
    limit: number,
  ): Promise<readonly StoredErasure[]>;
  /** Notes that denials are forgotten: nothing is due any more. */
  forgotten(sql: Sql, erasureId: string): Promise<void>;
  /** Notes that those of enrolments that were found in the face store again are denied again, until `forgetMs`. */
  denied(sql: Sql, enrolmentIds: readonly string[], forgetMs: number): Promise<void>;
  /** Entries whose denials are not forgotten, in the order of their ids, from after the id `after` (empty: from the first). */
  denials(sql: Sql, after: string, limit: number): Promise<readonly LedgerEntry[]>;
  /** The entries of those of these enrolments that stand in the ledger. */
  recorded(sql: Sql, enrolmentIds: readonly string[]): Promise<readonly LedgerEntry[]>;
  /** Those with a receipt, in the order of their ids, from after the id `after`. */
  signed(sql: Sql, after: string, limit: number): Promise<readonly StoredErasure[]>;
  /** Removes who asked, where it was this person. */
  forgetPrincipal(tx: Transaction, principal: string): Promise<void>;
  /** Removes whose faces they were, where it was this person's. */
  forgetMember(tx: Transaction, memberId: string): Promise<void>;
}
