import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** The numbers that a model decides by. */
export interface Calibration {
  readonly threshold: number;
  readonly margin: number;
  readonly duplicateThreshold: number;
  /** 0: none was named. */
  readonly targetFalsePositiveRate: number;
}

/** What is said of a model when it is registered. */
export interface ModelContent extends Calibration {
  readonly displayName: string;
  /** Numbers in an embedding. */
  readonly dimensions: number;
  /** Little-endian float32; empty for none. */
  readonly mean: Uint8Array;
}

/** A face model as the database knows it. */
export interface StoredModel extends ModelContent {
  readonly modelId: string;
  /** From 1; grows by one with every calibration. */
  readonly revision: number;
  readonly createTimeMs: number;
}

/** Face models, and how far the face Redis is known to have them. */
export interface ModelStore {
  find(sql: Sql, modelId: string): Promise<StoredModel | undefined>;
  lock(tx: Transaction, modelId: string): Promise<StoredModel | undefined>;
  /** Models after the id `after`, in the order of their ids. */
  list(sql: Sql, after: string, limit: number): Promise<readonly StoredModel[]>;
  /** False when there is one of that id. */
  add(tx: Transaction, model: StoredModel): Promise<boolean>;
  /** Saves the calibration and revision of a locked model. */
  calibrate(tx: Transaction, model: StoredModel): Promise<void>;
  /** Ids of models whose revision the face Redis is not known to have. */
  untold(sql: Sql, limit: number): Promise<readonly string[]>;
  /** Notes that the face Redis has a model at this revision, or a later one. */
  told(sql: Sql, modelId: string, revision: number): Promise<void>;
  /** Notes that the face Redis is known to have none of them: it may be another one. */
  forgetTold(sql: Sql): Promise<void>;
}
