import { createFaceWriter } from "../../internal/face/shared/face-writer-redis.ts";
import type { FaceEngine } from "../../internal/face/shared/face-engine.ts";
import { createInstances } from "../../internal/face/shared/instances.ts";
import { openRedis } from "../../internal/platform/redis/open-redis.ts";
import { type Served, serveChild } from "../harness/child.ts";
import { type EngineOptions, openEngine } from "./engines.ts";
import { enrolmentOf, galleryOf, templateOf } from "./galleries.ts";
import { matchRule, newFaces } from "./people.ts";
import { createTimes, type WriteTimes } from "./times.ts";

/** What this process is asked to do: to enrol people at the gallery of `faces`, or to erase those whom it enrolled. */
export interface WriteLoad {
  readonly kind: "enrol" | "erase";
  readonly faces: number;
  /** People. */
  readonly count: number;
}

/** What is written is seen everywhere within this time. */
const seenMsMax = 5000;
/** Numbers of those who are enrolled here; nobody else has them. */
const firstPerson = 5_000_000;

/** Writes as mlops does, beside an engine that decides as access does. */
async function openWritesLoad(options: EngineOptions): Promise<Served<WriteLoad, WriteTimes>> {
  const { engine, snapshot, close } = await openEngine(options);
  if (snapshot === undefined) throw new Error("the engine keeps no copies");
  const store = openRedis({ url: options.redisUrl, name: "bench-writer" });
  await store.start();
  const writer = createFaceWriter(store);
  const instances = createInstances(store);

  const enrol = async ({ faces, count }: WriteLoad): Promise<WriteTimes> => {
    const gallery = galleryOf(faces);
    const times = createTimes(["store", "copy"]);
    for (const [place, face] of newFaces(count).entries()) {
      const enrolment = enrolmentOf(firstPerson + place);
      const template = templateOf(gallery, face);
      const isFoundBy = (engine: FaceEngine) => async () =>
        (await likest(engine, faces, template)) === enrolment.memberId;
      await times.paced(async (since) => {
        await writer.put(enrolment, [{ gallery, templates: [template] }]);
        await until(isFoundBy(engine));
        since("store");
        await until(isFoundBy(snapshot));
        since("copy");
      });
    }
    return { latencyMs: times.all(), wrong: 0 };
  };
  const erase = async ({ faces, count }: WriteLoad): Promise<WriteTimes> => {
    const gallery = galleryOf(faces);
    const times = createTimes(["every process"]);
    let wrong = 0;
    for (const [place, face] of newFaces(count).entries()) {
      const enrolment = enrolmentOf(firstPerson + place);
      const template = templateOf(gallery, face);
      await times.paced(async (since) => {
        const change = await writer.deny(enrolment.enrolmentId, [gallery.branchId], Date.now());
        await until(async () => (await instances.behind(change)).length === 0);
        since("every process");
      });
      for (const one of [engine, snapshot]) if ((await likest(one, faces, template)) === enrolment.memberId) wrong += 1;
      await writer.remove(enrolment, [gallery]);
      await writer.forgetDenials(gallery.branchId, [enrolment.enrolmentId]);
    }
    return { latencyMs: times.all(), wrong };
  };
  return {
    greeting: "",
    answer: (load) => (load.kind === "enrol" ? enrol(load) : erase(load)),
    close: async () => {
      await store.stop();
      await close();
    },
  };
}

/** Whose face it most likely is. */
async function likest(engine: FaceEngine, faces: number, template: Float32Array): Promise<string | undefined> {
  const query = { gallery: galleryOf(faces), template, decideBy: matchRule };
  const outcome = await engine.search(query, AbortSignal.timeout(seenMsMax));
  return outcome.kind === "searched" ? outcome.result.best?.memberId : undefined;
}

/** Asks again and again, and lets others have their turn in between. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + seenMsMax;
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error(`what was written is not seen after ${seenMsMax} ms`);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

await serveChild(openWritesLoad);
