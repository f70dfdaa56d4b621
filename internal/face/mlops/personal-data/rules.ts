import { ListEnrolmentsResponseSchema } from "../../../gen/muin/face/v1/enrolment_service_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { personalData, type PersonalData } from "../../../platform/service/parts.ts";
import { personalJson } from "../../../shared/person/personal-json.ts";
import type { Faces } from "../enrolment/faces.ts";
import { toEnrolment } from "../enrolment/message.ts";
import type { EnrolmentStore, StoredEnrolment } from "../enrolment/store.ts";
import type { GalleryStore } from "../gallery/store.ts";
import type { PersonStore } from "../person/store.ts";
import type { RequestStore } from "../request/store.ts";

/**
 * All that mlops holds of a person: a copy of it is a list of their enrolments as JSON, without what was made of their face; erased, they are enrolled
 * nowhere, and nothing but the id is left.
 */
export function createPersonalData(deps: {
  readonly database: Pick<Database, "sql">;
  readonly people: Pick<PersonStore, "erase">;
  readonly enrolments: Pick<EnrolmentStore, "ofMember" | "remove">;
  readonly galleries: Pick<GalleryStore, "hold" | "of">;
  readonly requests: Pick<RequestStore, "forgetEnrolment" | "forgetPrincipal">;
  readonly faces: Pick<Faces, "giveUp">;
  readonly clock: Pick<Clock, "now">;
}): PersonalData {
  const { database, people, enrolments, galleries, requests, faces, clock } = deps;

  const hold = async (tx: Transaction, found: readonly StoredEnrolment[]): Promise<void> => {
    for (const { modelId, branchIds } of found) await galleries.hold(tx, modelId, branchIds);
  };

  return personalData({
    exportOf: async (userId) => {
      const found = await enrolments.ofMember(database.sql, userId);
      if (found.length === 0) return undefined;
      return personalJson(ListEnrolmentsResponseSchema, { enrolments: found.map(toEnrolment) });
    },

    erase: async (tx, userId) => {
      // In the order in which enrolments take these locks.
      await hold(tx, await enrolments.ofMember(tx, userId));
      await people.erase(tx, userId);
      const found = await enrolments.ofMember(tx, userId); // None can follow.
      await hold(tx, found);
      for (const enrolment of found) {
        const { enrolmentId, modelId, branchIds } = enrolment;
        await faces.giveUp(enrolment, await galleries.of(tx, modelId, branchIds), clock.now());
        await requests.forgetEnrolment(tx, enrolmentId);
        await enrolments.remove(tx, enrolmentId);
      }
      await requests.forgetPrincipal(tx, `person:${userId}`);
    },
  });
}
