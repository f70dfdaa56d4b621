import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { EnrolmentService } from "../../../gen/muin/face/v1/enrolment_service_pb.ts";
import type { FaceErasure } from "../../../gen/muin/face/v1/face_erasure_pb.ts";
import { FaceModelService } from "../../../gen/muin/face/v1/face_model_service_pb.ts";
import { BranchCreatedSchema } from "../../../gen/muin/identity/v1/branch_events_pb.ts";
import { UserCreatedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { redisRights } from "../../../platform/catalog/store-rights.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { openRedis, type OpenRedis } from "../../../platform/redis/open-redis.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import { startService, type TestService } from "../../../platform/testing/service.ts";
import { bytesOf, floatsOf, readEmbedding } from "../../shared/embedding.ts";
import { isMatch } from "../../shared/face-engine.ts";
import { anyVector, dimensions, near, secret, seededFractions, templateOf } from "../../shared/face-fixture.ts";
import { createFaceWriter } from "../../shared/face-writer-redis.ts";
import { markFresh, readRunId } from "../../shared/fresh.ts";
import type { KeyedGallery } from "../../shared/gallery.ts";
import { instancesKey, positionsKey } from "../../shared/instances.ts";
import { changesKey } from "../../shared/key-schema.ts";
import { createStoreEngine } from "../../shared/store-engine.ts";
import { createTemplates } from "../../shared/template.ts";
import { mlops } from "../definition.ts";
import { withBackground } from "../mlops-fixture.ts";

/** The model of the tests. */
const modelId = "arc";
const threshold = 0.5;
const margin = 0.1;

/** Somebody whose face is enrolled. */
export interface Enrolled {
  readonly enrolmentId: string;
  readonly memberId: string;
  readonly branchIds: readonly string[];
  /** The embeddings that were enrolled. */
  readonly embeddings: readonly Uint8Array[];
}

/** A process at a door, as far as mlops sees it in the face Redis. */
export interface SimulatedDoor {
  readonly instanceId: string;
  /** Says that it has applied all changes, now. */
  apply(): Promise<void>;
  /** Its last word was so long ago. */
  age(ms: number): Promise<void>;
}

/** mlops with a face Redis of its own. Its background work rests but within `withBackground`. */
export interface ErasureFixture extends TestService {
  readonly redis: TestRedis;
  readonly store: OpenRedis;
  enrolments(caller?: Caller): Client<typeof EnrolmentService>;
  /** Makes a branch. */
  newBranch(ownerId?: string): Promise<string>;
  /** Somebody signs up. */
  newMember(): Promise<string>;
  /** Enrols somebody new with faces of their own; at one new branch unless told otherwise. */
  enrol(options?: {
    readonly branchIds?: readonly string[];
    readonly memberId?: string;
    readonly embeddings?: readonly Uint8Array[];
  }): Promise<Enrolled>;
  /** Somebody new and a face of theirs, which nobody has enrolled. */
  newFace(branchIds: readonly string[]): Promise<Enrolled>;
  /** What a door that looks up in the store does with a photograph of somebody: "GRANTED", "DENIED" or why it cannot tell. */
  lookUp(face: Enrolled, branchId?: string): Promise<string>;
  /** Registers a process at the doors that may decide by its own copy for so long. */
  door(instanceId: string, ageMsMax?: number): Promise<SimulatedDoor>;
  withBackground<T>(work: () => Promise<T>): Promise<T>;
  erasureOf(face: Enrolled): Promise<FaceErasure>;
  /** Names of keys of the face Redis in whose values there is something of the face: the enrolment's id, or a template of it. */
  traces(face: Enrolled): Promise<readonly string[]>;
}

/** Holds all faces. */
export const operator: Caller = {
  kind: "api_key",
  id: "operator",
  principal: "api_key:operator",
  scopes: new Set(["faces.manage", "faces.read"]),
};

const password = "of-the-tests";

/** A face Redis where mlops has the rights that its declaration gives it. */
export function startFaceRedis(): Promise<TestRedis> {
  const users = redisRights(mlops).map(({ user, rules }) => ({ name: user, password, rules }));
  return startRedis({ users });
}

/** Starts mlops; `info` is another definition of it. */
export async function startErasure(
  options: { readonly info?: ServiceInfo; readonly redis?: TestRedis } = {},
): Promise<ErasureFixture> {
  const redis = options.redis ?? (await startFaceRedis());
  const url = `redis://${mlops.name}:${password}@${redis.host}:${redis.port}`;
  const service = await startService(options.info ?? mlops, {
    config: { templateSecret: secret, sweepEveryMs: 50 },
    storeUrls: { faces: url, doors: url },
  });
  const store = openRedis({ url: redis.url, name: "test" });
  await store.start();
  await markFresh(store, await readRunId(store));
  await service.as(FaceModelService, operator).registerFaceModel({
    faceModel: { modelId, displayName: "of the tests", dimensions, threshold, margin, duplicateThreshold: 0.8 },
  });
  const fraction = seededFractions(1);
  const doors = createDoors(store, fraction);
  const enrolments = (caller = operator): Client<typeof EnrolmentService> => service.as(EnrolmentService, caller);

  const fixture: Omit<ErasureFixture, keyof TestService> = {
    redis,
    store,
    enrolments,
    newBranch: async (ownerId = "owner") => {
      const branchId = crypto.randomUUID();
      await service.deliver(
        create(BranchCreatedSchema, { branchId, branch: { branchId, ownerId }, aggregateVersion: 1n }),
      );
      return branchId;
    },
    newMember: async () => {
      const userId = crypto.randomUUID();
      await service.deliver(create(UserCreatedSchema, { userId, aggregateVersion: 1n }));
      return userId;
    },
    newFace: async (branchIds) => ({
      enrolmentId: "none",
      memberId: await fixture.newMember(),
      branchIds,
      embeddings: [newEmbedding(fraction)],
    }),
    enrol: async ({ branchIds, memberId, embeddings = [newEmbedding(fraction)] } = {}) => {
      const { enrolment } = await enrolments().enrolFace({
        branchIds: [...(branchIds ?? [await fixture.newBranch()])],
        memberId: memberId ?? (await fixture.newMember()),
        modelId,
        embeddings: [...embeddings],
        consent: { textVersion: "2026-01", time: timestampFromMs(1_700_000_000_000) },
      });
      if (enrolment === undefined) throw new Error("an enrolment is in its reply");
      return { ...enrolment, embeddings };
    },
    lookUp: (face, branchId) => doors.lookUp(face, branchId),
    door: (instanceId, ageMsMax = 900_000) => simulateDoor(store, instanceId, ageMsMax),
    withBackground: (work) => withBackground(service, work),
    erasureOf: async ({ enrolmentId }) => {
      const { erasure } = await enrolments().getFaceErasure({ enrolmentId });
      if (erasure === undefined) throw new Error("an erasure is in its reply");
      return erasure;
    },
    traces: async (face) => tracesIn(store, face.enrolmentId, await doors.turned(face)),
  };
  return {
    ...service,
    ...fixture,
    [Symbol.asyncDispose]: async () => {
      await store.stop();
      await service[Symbol.asyncDispose]();
      if (options.redis === undefined) await redis.stop();
    },
  };
}

/** What doors that look up in the store do. */
function createDoors(store: OpenRedis, fraction: () => number) {
  const writer = createFaceWriter(store);
  const engine = createStoreEngine({ store, forDoors: true });
  const templates = createTemplates({ present: secret });
  const templateFor = (gallery: KeyedGallery, embedding: Uint8Array): Float32Array => {
    const read = readEmbedding(embedding, { dimensions, mean: undefined });
    const template = read.unit && templates.turn(gallery, read.unit);
    if (template === undefined) throw new Error("a photograph of the tests is good");
    return template;
  };
  return {
    lookUp: async ({ memberId, branchIds, embeddings }: Enrolled, asked?: string): Promise<string> => {
      const gallery = await writer.readActive(asked ?? branchIds[0] ?? "");
      if (gallery === undefined) return "no gallery";
      const photograph = near(templateOf(floatsOf(embeddings[0] ?? new Uint8Array())), 0.9, fraction);
      const template = templateFor(gallery, bytesOf(photograph));
      const outcome = await engine.search({ gallery, template }, new AbortController().signal);
      if (outcome.kind !== "searched") return outcome.kind;
      const isGranted = isMatch(outcome.result, { threshold, margin }) && outcome.result.best?.memberId === memberId;
      return isGranted ? "GRANTED" : "DENIED";
    },

    /** The templates of a face, at all its branches. */
    turned: async ({ branchIds, embeddings }: Enrolled): Promise<readonly Buffer[]> => {
      const galleries = await Promise.all(branchIds.map((branchId) => writer.readActive(branchId)));
      return galleries.flatMap((gallery) =>
        gallery === undefined ? [] : embeddings.map((embedding) => bytesOf(templateFor(gallery, embedding))),
      );
    },
  };
}

/** An embedding of somebody new. */
function newEmbedding(fraction: () => number): Uint8Array {
  return new Uint8Array(bytesOf(templateOf(anyVector(fraction))));
}

async function simulateDoor({ client }: OpenRedis, instanceId: string, ageMsMax: number): Promise<SimulatedDoor> {
  const say = async (position: string, agoMs: number): Promise<void> => {
    const [seconds, micros] = await client.time();
    const nowMs = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
    await client.hset(positionsKey, instanceId, `${position} ${nowMs - agoMs} ${ageMsMax}`);
  };
  const end = async (): Promise<string> => {
    const [last] = await client.xrevrange(changesKey, "+", "-", "COUNT", 1);
    return last?.[0] ?? "0-0";
  };
  const record = { host: "test", started: new Date(0).toISOString(), run: "1" };
  await client.hset(instancesKey, instanceId, JSON.stringify(record));
  const door: SimulatedDoor = {
    instanceId,
    apply: async () => say(await end(), 0),
    age: async (ms) => {
      const [position = "0-0"] = ((await client.hget(positionsKey, instanceId)) ?? "").split(" ");
      await say(position, ms);
    },
  };
  await door.apply();
  return door;
}

async function tracesIn(
  store: OpenRedis,
  enrolmentId: string,
  templates: readonly Buffer[],
): Promise<readonly string[]> {
  const { client } = store;
  const found = new Set<string>();
  const holds = (value: Buffer): boolean =>
    value.includes(enrolmentId) || templates.some((template) => value.includes(template));
  for (const key of await client.keys("{face}:g:*")) {
    const values = await valuesOf(store, key);
    if (values.some(holds)) found.add(key.split(":").slice(0, 3).join(":"));
  }
  return [...found].toSorted();
}

/** All that stands in a key, but changes that carry no template: they tell that a face is denied and gone. */
async function valuesOf({ client }: OpenRedis, key: string): Promise<readonly Buffer[]> {
  if (key === changesKey) {
    const entries = await client.xrangeBuffer(key, "-", "+");
    return entries.flatMap(([, fields]) =>
      fields.some((field) => field.equals(Buffer.from("templates"))) ? fields : [],
    );
  }
  switch (await client.type(key)) {
    case "hash":
      return Object.entries(await client.hgetallBuffer(key)).flatMap(([field, value]) => [Buffer.from(field), value]);
    case "zset":
      return client.zrangeBuffer(key, "0", "-1");
    case "vectorset":
      return (await client.callBuffer("VRANGE", key, "-", "+")) as Buffer[];
    default:
      return [];
  }
}
