import type { RedisStore } from "../../internal/platform/redis/redis-store.ts";
import { bytesOf } from "../../internal/face/shared/embedding.ts";
import type { FaceEngine } from "../../internal/face/shared/face-engine.ts";
import { enrolmentOf, galleryOf, templateOf } from "./galleries.ts";
import { inTurns } from "./in-turns.ts";

/** Members of the graph that a search looks at: what Redis takes by itself for so few. */
const searchEffort = 100;
/** The likest that a search answers: a person has one face. */
const answers = 2;

/** The key of the peer's vector set for a gallery of so many faces. */
function setKey(branchId: string): string {
  return `bench:set:${branchId}`;
}

/** Makes vector sets of these sizes with the graph that Redis makes by itself: M 16, and 200 looked at with each that is added. */
export async function fillPeerSets(
  store: RedisStore,
  sizes: readonly number[],
  faces: readonly Float32Array[],
): Promise<void> {
  for (const size of sizes) {
    const gallery = galleryOf(size);
    await inTurns(size, (person) => {
      const template = templateOf(gallery, faces[person] as Float32Array);
      const { memberId } = enrolmentOf(person);
      return store.client.call("VADD", setKey(gallery.branchId), "FP32", bytesOf(template), memberId, "Q8");
    });
  }
}

/** Redis' approximate search: the likest by the graph, as they are scored in int8. */
export function createApproximateEngine(store: RedisStore): FaceEngine {
  return {
    search: async ({ gallery, template }) => {
      const key = setKey(gallery.branchId);
      const found = (await store.client.call(
        "VSIM",
        key,
        "FP32",
        bytesOf(template),
        "WITHSCORES",
        "COUNT",
        answers,
        "EF",
        searchEffort,
      )) as readonly string[];
      const [best, bestScore, second, secondScore] = found;
      return {
        kind: "searched",
        result: {
          best: best === undefined ? undefined : { memberId: best, enrolmentId: "", score: cosineOf(bestScore) },
          second: second === undefined ? undefined : { memberId: second, score: cosineOf(secondScore) },
        },
        source: "store",
        ageMs: 0,
      };
    },
  };
}

function cosineOf(score: string | undefined): number {
  return 2 * Number(score) - 1;
}
