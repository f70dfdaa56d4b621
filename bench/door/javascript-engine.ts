import type { RedisReader } from "../../internal/platform/redis/redis-store.ts";
import { floatsOf } from "../../internal/face/shared/embedding.ts";
import type { FaceEngine } from "../../internal/face/shared/face-engine.ts";
import { galleryKeys, readElementName } from "../../internal/face/shared/key-schema.ts";
import { galleryOf } from "./galleries.ts";

interface Gallery {
  readonly members: readonly string[];
  /** One template after the other. */
  readonly templates: Float32Array;
}

/** A plain loop over float32 templates in the process' own memory, which is read once. */
export async function createJavaScriptEngine(store: RedisReader, sizes: readonly number[]): Promise<FaceEngine> {
  const galleries = new Map<string, Gallery>();
  for (const size of sizes) {
    const gallery = galleryOf(size);
    const copies = Object.entries(await store.client.hgetallBuffer(galleryKeys(gallery).copy));
    const faces = copies.map(([name, bytes]) => [readElementName(name).memberId, floatsOf(bytes)] as const);
    const stride = faces[0]?.[1].length ?? 0;
    const templates = new Float32Array(faces.length * stride);
    for (const [place, [, template]] of faces.entries()) templates.set(template, place * stride);
    galleries.set(gallery.branchId, { members: faces.map(([memberId]) => memberId), templates });
  }
  return {
    search: ({ gallery: { branchId }, template }) => {
      const gallery = galleries.get(branchId);
      if (gallery === undefined) return Promise.resolve({ kind: "no_snapshot" });
      return Promise.resolve({ kind: "searched", result: likest(gallery, template), source: "snapshot", ageMs: 0 });
    },
  };
}

function likest({ members, templates }: Gallery, template: Float32Array) {
  const stride = template.length;
  let [best, bestScore, second, secondScore] = [-1, -Infinity, -1, -Infinity];
  for (let place = 0; place < members.length; place += 1) {
    let score = 0;
    const from = place * stride;
    for (let k = 0; k < stride; k += 1) score += (template[k] as number) * (templates[from + k] as number);
    if (score > bestScore) {
      [second, secondScore] = [best, bestScore];
      [best, bestScore] = [place, score];
    } else if (score > secondScore) [second, secondScore] = [place, score];
  }
  return {
    best: best < 0 ? undefined : { memberId: members[best] as string, enrolmentId: "", score: bestScore },
    second: second < 0 ? undefined : { memberId: members[second] as string, score: secondScore },
  };
}
