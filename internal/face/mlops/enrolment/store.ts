import type { Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { RequestIdentity } from "../request/store.ts";

/** A person's consent, and who recorded it. */
export interface RecordedConsent {
  readonly textVersion: string;
  readonly timeMs: number;
  /** As `Caller.principal`. */
  readonly recorder: string;
}

/** An enrolment as the database knows it. Times are in milliseconds since the Unix epoch. */
export interface StoredEnrolment {
  readonly enrolmentId: string;
  readonly memberId: string;
  readonly modelId: string;
  /** In their order, each once. */
  readonly branchIds: readonly string[];
  /** Faces that it has in each of its galleries. */
  readonly faceCount: number;
  readonly consent: RecordedConsent;
  /** From 1; grows by one with every change. */
  readonly version: number;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
}

/** A write to the face Redis that is under way. */
export interface FaceChange {
  readonly changeId: string;
  readonly enrolmentId: string;
  readonly modelId: string;
  readonly branchIds: readonly string[];
  /** Faces of the enrolment once it is done. */
  readonly faceCount: number;
  /** `digestOf` the templates that each of its galleries then has, one after the other: tells whether it was done. */
  readonly digest: Uint8Array;
  readonly request: RequestIdentity;
  /** Whether it is done although the face is another person's. */
  readonly overrides: boolean;
  readonly startTimeMs: number;
}

/** Which enrolments to list. Empty fields do not restrict. */
export interface EnrolmentQuery {
  readonly branchId: string;
  readonly memberId: string;
  /** Only what this person may see: their own, and those of which they own or manage all branches. */
  readonly viewerId: string | undefined;
}

/** Who is enrolled. One that is being enrolled for the first time is seen by nobody. */
export interface EnrolmentStore {
  find(sql: Sql, enrolmentId: string): Promise<StoredEnrolment | undefined>;
  /** Enrolments after the id `after`, in the order of their ids. */
  list(sql: Sql, query: EnrolmentQuery, after: string, limit: number): Promise<readonly StoredEnrolment[]>;
  /** The same, whichever they are, locked until the transaction ends. */
  lockPage(tx: Transaction, after: string, limit: number): Promise<readonly StoredEnrolment[]>;
  /** All enrolments of a person, seen or not, in the order of their ids. */
  ofMember(sql: Sql, memberId: string): Promise<readonly StoredEnrolment[]>;
  /** Enrolments in the gallery of a branch by a model after the id `after`, in the order of their ids. */
  inGallery(
    sql: Sql,
    gallery: { readonly branchId: string; readonly modelId: string },
    after: string,
    limit: number,
  ): Promise<readonly StoredEnrolment[]>;
  /** Of those in a gallery the ones whose faces were written since a time. */
  changedSince(
    sql: Sql,
    gallery: { readonly branchId: string; readonly modelId: string },
    sinceMs: number,
    after: string,
    limit: number,
  ): Promise<readonly StoredEnrolment[]>;
  /** Which of these enrolments are in a gallery, seen or not. */
  among(
    sql: Sql,
    gallery: { readonly branchId: string; readonly modelId: string },
    enrolmentIds: readonly string[],
  ): Promise<readonly string[]>;
  /** Whether a person is enrolled by a model, or is being enrolled. */
  isEnrolled(sql: Sql, memberId: string, modelId: string): Promise<boolean>;
  /** Whether anybody is enrolled by a model at a branch. */
  isAnybodyEnrolled(sql: Sql, branchId: string, modelId: string): Promise<boolean>;
  /** Adds one that nobody sees until it is saved. False when the person is enrolled by the model already. */
  add(tx: Transaction, enrolment: StoredEnrolment): Promise<boolean>;
  /** Locks one, seen or not. `isNew`: it was never saved. */
  lock(
    tx: Transaction,
    enrolmentId: string,
  ): Promise<{ readonly enrolment: StoredEnrolment; readonly isNew: boolean } | undefined>;
  /** Saves a locked one; it is seen from now on. */
  save(tx: Transaction, enrolment: StoredEnrolment): Promise<void>;
  /** Removes one, with the change of it that is recorded. */
  remove(tx: Transaction, enrolmentId: string): Promise<void>;
  /** Records a change before it is made. */
  begin(tx: Transaction, change: FaceChange): Promise<void>;
  /** Changes at galleries of a model: of any of these branches. */
  changesAt(sql: Sql, modelId: string, branchIds: readonly string[]): Promise<readonly FaceChange[]>;
  /** The change that a request began. */
  changeOf(sql: Sql, request: RequestIdentity): Promise<FaceChange | undefined>;
  /** Changes that are under way or were left half done, the oldest first. */
  changes(sql: Sql, limit: number): Promise<readonly FaceChange[]>;
  /** Locks a change; `undefined` when it has ended. */
  lockChange(tx: Transaction, changeId: string): Promise<FaceChange | undefined>;
  /** Ends a change. False when it had ended. */
  end(tx: Transaction, changeId: string): Promise<boolean>;
  /** Records that a face was enrolled although it is another person's. */
  addOverride(tx: Transaction, change: FaceChange, timeMs: number): Promise<void>;
}
