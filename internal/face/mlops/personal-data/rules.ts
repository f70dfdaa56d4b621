import { FaceDataSchema } from "../../../gen/muin/face/v1/face_data_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { personalData, type PersonalData } from "../../../platform/service/parts.ts";
import { personalJson } from "../../../shared/person/personal-json.ts";
import { toEnrolment } from "../enrolment/message.ts";
import type { EnrolmentStore } from "../enrolment/store.ts";
import { toFaceErasure } from "../erasure/message.ts";
import type { ErasureRules } from "../erasure/rules.ts";
import type { ErasureStore } from "../erasure/store.ts";
import { announceErasure, type MlopsPublish } from "../events.ts";
import type { GalleryStore } from "../gallery/store.ts";
import type { PersonStore } from "../person/store.ts";
import type { RequestStore } from "../request/store.ts";
import type { PersonErasureStore } from "./store.ts";

/** Erasures that a copy holds at most. */
const exportedMax = 1000;

/** What mlops holds of a person besides the id: enrolments, without vectors, and erasures. */
export function createPersonalData(deps: {
  readonly database: Pick<Database, "sql">;
  readonly people: Pick<PersonStore, "statusOf" | "erase">;
  readonly enrolments: Pick<EnrolmentStore, "ofMember">;
  readonly galleries: Pick<GalleryStore, "hold">;
  readonly erasures: Pick<ErasureStore, "ofMember" | "forgetPrincipal">;
  readonly requests: Pick<RequestStore, "forgetPrincipal">;
  readonly rules: Pick<ErasureRules, "begin">;
}): PersonalData {
  const { database, people, enrolments, galleries, erasures, requests, rules } = deps;
  return personalData({
    exportOf: async (userId) => {
      const { sql } = database;
      // What the ledger holds of who is deleted is no longer theirs to read: it names nobody.
      if ((await people.statusOf(sql, userId)) === "DELETED") return undefined;
      const enrolled = await enrolments.ofMember(sql, userId);
      const erased = await erasures.ofMember(sql, userId, exportedMax);
      if (enrolled.length + erased.length === 0) return undefined;
      return personalJson(FaceDataSchema, {
        enrolments: enrolled.map(toEnrolment),
        erasures: erased.map((erasure) => toFaceErasure({ erasure, pendingInstances: [] })),
      });
    },

    erase: async (tx, userId) => {
      // In the order in which enrolments take these locks.
      for (const { modelId, branchIds } of await enrolments.ofMember(tx, userId)) {
        await galleries.hold(tx, modelId, branchIds);
      }
      await people.erase(tx, userId); // No enrolment can follow.
      await rules.begin(tx, userId);
      await erasures.forgetPrincipal(tx, `person:${userId}`);
      await requests.forgetPrincipal(tx, `person:${userId}`);
    },
  });
}

/** Confirms that nothing is held of deleted people any more. */
export interface PersonErasures {
  /** Erases what is held of a person whose deletion a UserStatusChanged of this version tells. Whoever asks again is told again. */
  deleted(tx: Transaction, userId: string, aggregateVersion: bigint): Promise<void>;
  /** Tells UserDataErased if the person is deleted, and the last of their faces has its receipt now. */
  settle(tx: Transaction, userId: string): Promise<void>;
}

/** Tells UserDataErased in the transaction of the last receipt, no sooner: until then a door could still open for the person. */
export function createPersonErasures(deps: {
  readonly personalData: Pick<PersonalData, "erase">;
  readonly personErasures: PersonErasureStore;
  readonly erasures: Pick<ErasureStore, "unsignedOfMember" | "forgetMember">;
  readonly publish: MlopsPublish;
  readonly clock: Pick<Clock, "now">;
}): PersonErasures {
  const { personErasures, erasures, publish, clock } = deps;

  const settle = async (tx: Transaction, userId: string): Promise<void> => {
    // One receipt after the other: the last one must see all before it.
    const aggregateVersion = await personErasures.lock(tx, userId);
    if (aggregateVersion === undefined || (await erasures.unsignedOfMember(tx, userId)) > 0) return;
    await erasures.forgetMember(tx, userId);
    await personErasures.remove(tx, userId);
    await announceErasure(tx, publish, userId, aggregateVersion, clock.now());
  };

  return {
    deleted: async (tx, userId, aggregateVersion) => {
      await deps.personalData.erase(tx, userId);
      await personErasures.add(tx, userId, aggregateVersion, clock.now());
      await settle(tx, userId);
    },

    settle,
  };
}
