import type { Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { ActiveGallery, GalleryId, KeyedGallery } from "../../shared/gallery.ts";

/** Whether doors decide by a gallery, in the words of the database. */
export type GalleryStateName = "STANDBY" | "ACTIVE" | "FORMER";

/** A gallery as the database knows it. */
export interface StoredGallery extends KeyedGallery {
  readonly state: GalleryStateName;
  readonly updateTimeMs: number;
}

/** A gallery as callers see it. */
export interface CountedGallery extends StoredGallery {
  /** Faces in it, each embedding counted. */
  readonly faceCount: number;
}

/**
 * Galleries. Locks are taken in one order: galleries by their names, then what is active at branches by their ids. What is locked stays so
 * until the transaction ends.
 */
export interface GalleryStore {
  /** Locks the galleries of a model at branches: whoever writes faces there, or looks for duplicates before, holds this lock. They need not exist. */
  hold(tx: Transaction, modelId: string, branchIds: readonly string[]): Promise<void>;
  /** The same without waiting; false when another transaction holds one of them. */
  tryHold(tx: Transaction, modelId: string, branchIds: readonly string[]): Promise<boolean>;
  /** The galleries of a model at branches, those that there are, in the order of the branches' ids. */
  of(sql: Sql, modelId: string, branchIds: readonly string[]): Promise<readonly StoredGallery[]>;
  /** The galleries of branches by all models. */
  atBranches(sql: Sql, branchIds: readonly string[]): Promise<readonly StoredGallery[]>;
  /** All galleries, in the order of branch and model, from after the one that is named. */
  page(
    sql: Sql,
    after: Pick<StoredGallery, "branchId" | "modelId"> | undefined,
    limit: number,
  ): Promise<readonly StoredGallery[]>;
  /** The galleries of a branch by models, with their faces, in the order of the models' ids. */
  list(sql: Sql, branchId: string, modelIds: readonly string[]): Promise<readonly CountedGallery[]>;
  /** Makes galleries that are not there yet, in STANDBY. */
  add(tx: Transaction, galleries: readonly StoredGallery[]): Promise<void>;
  /** Locks what is active at branches, and makes it one's own to change. */
  holdActive(tx: Transaction, branchIds: readonly string[]): Promise<void>;
  /** Notes that a gallery's present generation is being renewed, unless that stands already. */
  beginRenewal(sql: Sql, gallery: GalleryId, startMs: number): Promise<void>;
  /** Since when a gallery's present generation is being renewed; `undefined`: it is not. */
  renewalStart(sql: Sql, gallery: GalleryId): Promise<number | undefined>;
  /** Makes another generation the present one of a gallery that is held, and ends the renewal. */
  endRenewal(tx: Transaction, renewed: KeyedGallery, nowMs: number): Promise<void>;
  /** The gallery of a branch that is in a state of which there is one at most. */
  inState(sql: Sql, branchId: string, state: "ACTIVE" | "FORMER"): Promise<StoredGallery | undefined>;
  /** Those of these branches at which no gallery is active. Once one is, there always is one. */
  withoutActive(sql: Sql, branchIds: readonly string[]): Promise<readonly string[]>;
  setState(tx: Transaction, gallery: StoredGallery, state: GalleryStateName, nowMs: number): Promise<void>;
  /** Says that what doors decide by at a locked branch has changed. */
  activeChanged(tx: Transaction, branchId: string): Promise<void>;
  /** What doors are to be told of a branch; `undefined` while nothing is active. */
  active(sql: Sql, branchId: string): Promise<ActiveGallery | undefined>;
  /** Branches of which the face Redis is not known to have what is active, in the order of their ids. */
  untold(sql: Sql, limit: number): Promise<readonly string[]>;
  /** Those of these branches. */
  untoldAmong(sql: Sql, branchIds: readonly string[]): Promise<readonly string[]>;
  /** Notes that the face Redis has what is active at a branch at this revision, or a later one. */
  told(sql: Sql, branchId: string, revision: number): Promise<void>;
  /** Notes that the face Redis is known to have nothing of what is active: it may be another one. */
  forgetTold(sql: Sql): Promise<void>;
}
