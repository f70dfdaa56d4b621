import type { Database, Transaction } from "../../platform/postgres/database.ts";
import { postgresBranchStore } from "./branch/store-postgres.ts";
import type { BranchStore } from "./branch/store.ts";
import { postgresDigestStore } from "./digest/store-postgres.ts";
import type { DigestStore } from "./digest/store.ts";
import { postgresEnrolmentStore } from "./enrolment/store-postgres.ts";
import type { EnrolmentStore, StoredEnrolment } from "./enrolment/store.ts";
import { postgresGalleryStore } from "./gallery/store-postgres.ts";
import type { GalleryStore } from "./gallery/store.ts";
import { startMlops } from "./mlops-fixture.ts";
import { postgresModelStore } from "./model/store-postgres.ts";
import type { ModelStore, StoredModel } from "./model/store.ts";
import { postgresPersonStore } from "./person/store-postgres.ts";
import type { PersonStore } from "./person/store.ts";
import { postgresRequestStore } from "./request/store-postgres.ts";
import type { RequestStore } from "./request/store.ts";

/** All stores of mlops, empty, and the database that they work in: each suite tries one and fills the others. */
export interface StartedStores extends AsyncDisposable {
  readonly database: Pick<Database, "sql" | "transaction">;
  readonly branches: BranchStore;
  readonly people: PersonStore;
  readonly models: ModelStore;
  readonly galleries: GalleryStore;
  readonly enrolments: EnrolmentStore;
  readonly digests: DigestStore;
  readonly requests: RequestStore;
}

/** All stores on a PostgreSQL database of their own. */
export async function startPostgresStores(): Promise<StartedStores> {
  const service = await startMlops();
  return {
    database: service.database,
    branches: postgresBranchStore,
    people: postgresPersonStore,
    models: postgresModelStore,
    galleries: postgresGalleryStore,
    enrolments: postgresEnrolmentStore,
    digests: postgresDigestStore,
    requests: postgresRequestStore,
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

/** A model that is good. */
export const aModel: StoredModel = {
  modelId: "arc",
  displayName: "Arc",
  dimensions: 64,
  mean: Uint8Array.of(1, 2, 3, 4),
  threshold: 0.1,
  margin: 0.2,
  duplicateThreshold: 0.3,
  targetFalsePositiveRate: 0.003,
  revision: 1,
  createTimeMs: 1000,
};

/** An enrolment of a person by that model. */
export function anEnrolment(enrolmentId: string, more: Partial<StoredEnrolment> = {}): StoredEnrolment {
  return {
    enrolmentId,
    memberId: `member of ${enrolmentId}`,
    modelId: aModel.modelId,
    branchIds: ["b1"],
    faceCount: 1,
    consent: { textVersion: "3", timeMs: 500, recorder: "person:ada" },
    version: 1,
    createTimeMs: 1000,
    updateTimeMs: 1000,
    ...more,
  };
}

/** Whether a transaction gets on before another one that holds something has ended. */
export async function getsOnBeside(
  { database }: Pick<StartedStores, "database">,
  hold: (tx: Transaction) => Promise<unknown>,
  other: (tx: Transaction) => Promise<unknown>,
): Promise<boolean> {
  const held = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  const holding = database.transaction(async (tx) => {
    await hold(tx);
    held.resolve();
    await over.promise;
  });
  await held.promise;
  const trying = database
    .transaction(async (tx) => {
      await tx`SET LOCAL lock_timeout = 50`;
      await other(tx);
    })
    .then(
      () => true,
      () => false,
    );
  const result = await trying;
  over.resolve();
  await holding;
  return result;
}
