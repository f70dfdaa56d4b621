import type { Clock } from "../../../platform/clock/clock.ts";
import { timeout } from "../../../platform/lifecycle/timeout.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { floatsOf } from "../../shared/embedding.ts";
import type { FaceEngine } from "../../shared/face-engine.ts";
import { facesMax, type FaceWriter } from "../../shared/face-writer.ts";
import { elementName, galleryKeys } from "../../shared/key-schema.ts";
import type { Faces } from "./faces.ts";

/** Ends a search that takes longer, in milliseconds: the locks of its galleries are held meanwhile. */
const searchMsMax = 5000;

/** What enrolments do in the face Redis. `engine` searches the store, whichever gallery is active. */
export function createFaces(deps: {
  readonly store: RedisStore;
  readonly writer: Pick<FaceWriter, "put" | "deny" | "remove">;
  readonly engine: FaceEngine;
  readonly clock: Pick<Clock, "sleep">;
}): Faces {
  const { store, writer, engine, clock } = deps;
  return {
    put: async (enrolment, faces) => {
      await writer.put(enrolment, faces);
    },

    read: async (enrolment, gallery) => {
      const names = Array.from({ length: facesMax }, (_, index) => elementName({ ...enrolment, index }));
      const copies = await store.client.hmgetBuffer(galleryKeys(gallery).copy, ...names);
      return copies.filter((copy) => copy !== null).map(floatsOf);
    },

    giveUp: async (enrolment, galleries, nowMs) => {
      const branchIds = galleries.map(({ branchId }) => branchId);
      await writer.deny(enrolment.enrolmentId, branchIds, nowMs);
      await writer.remove(enrolment, galleries);
    },

    nearestOther: async (gallery, template, memberId) => {
      const query = { gallery: { ...gallery, revision: 0 }, template };
      const outcome = await timeout(clock, searchMsMax, (signal) => engine.search(query, signal));
      if (outcome.kind !== "searched") throw new Error(`a search for duplicates ended as ${outcome.kind}`);
      const { best, second } = outcome.result;
      return best?.memberId === memberId ? second?.score : best?.score;
    },
  };
}
