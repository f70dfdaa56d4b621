import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Client } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { ConsentSchema } from "../../gen/muin/face/v1/enrolment_events_pb.ts";
import { EnrolmentService, type Enrolment } from "../../gen/muin/face/v1/enrolment_service_pb.ts";
import type { FaceModel } from "../../gen/muin/face/v1/face_model_pb.ts";
import { FaceModelService } from "../../gen/muin/face/v1/face_model_service_pb.ts";
import { BranchCreatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { StaffRole } from "../../gen/muin/identity/v1/branch_pb.ts";
import { UserCreatedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { systemClock, type Clock } from "../../platform/clock/clock.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import { Secret } from "../../platform/config/fields.ts";
import type { Caller } from "../../platform/identity/caller.ts";
import { openRedis, type OpenRedis } from "../../platform/redis/open-redis.ts";
import type { ServiceInfo } from "../../platform/service/define-service.ts";
import { partsOf } from "../../platform/service/parts.ts";
import { eventually } from "../../platform/testing/eventually.ts";
import { sharedRedis } from "../../platform/testing/redis.ts";
import { startService, type TestService } from "../../platform/testing/service.ts";
import { bytesOf } from "../shared/embedding.ts";
import { mlops } from "./definition.ts";

/** Numbers in the embeddings of a test's models, unless it says otherwise. */
export const dimensions = 64;

/** mlops on a database of its own, and on the test process' face Redis, where each test keeps to branches and models of its own. */
export interface MlopsFixture extends TestService {
  readonly redisUrl: string;
  /** The face Redis. */
  readonly store: OpenRedis;
  enrolments(caller: Caller): Client<typeof EnrolmentService>;
  models(caller: Caller): Client<typeof FaceModelService>;
  /** Somebody signs up, and mlops hears of it. */
  signUp(): Promise<Person>;
  /** A branch comes to be, and mlops hears of it. Default: nobody's whom the test knows. */
  newBranch(of?: { readonly owner?: Person; readonly managers?: readonly Person[] }): Promise<string>;
  newModel(content?: Partial<ModelContent>): Promise<FaceModel>;
  /** Enrols somebody new at a new branch by a new model, as far as it is not said, as the administrator. */
  enrol(asked?: Partial<FaceRequest>): Promise<Enrolment>;
  /** Runs mlops' background work for as long as `work` takes. */
  withBackground<T>(work: () => Promise<T>): Promise<T>;
  /** Looks until nothing is left half done, as the sweeper of a running process does. */
  sweep(): Promise<void>;
}

/** What a test says of an enrolment. */
interface FaceRequest {
  readonly branchIds: string[];
  readonly memberId: string;
  readonly modelId: string;
  readonly embeddings: Uint8Array[];
  readonly consent: MessageInitShape<typeof ConsentSchema>;
  readonly overrideDuplicate: boolean;
  readonly requestId: string;
}

/** What a test says of a model. */
interface ModelContent {
  readonly modelId: string;
  readonly displayName: string;
  readonly dimensions: number;
  readonly mean: Uint8Array;
  readonly threshold: number;
  readonly margin: number;
  readonly duplicateThreshold: number;
  readonly targetFalsePositiveRate: number;
}

/** A signed-in person. */
export type Person = Extract<Caller, { kind: "person" }>;

/** Runs the installation. */
export const administrator: Caller = {
  ...personOf("00000000-0000-7000-8000-000000000001"),
  scopes: new Set(["faces.manage", "faces.read"]),
};

/** Makes mlops. `info` is another definition of it. */
export async function startMlops(
  options: {
    readonly info?: ServiceInfo;
    readonly config?: Readonly<Record<string, unknown>>;
    readonly redisUrl?: string;
    /** URL of another one's database, to work beside it. */
    readonly url?: string;
    readonly clock?: Clock;
  } = {},
): Promise<MlopsFixture> {
  const { info = mlops, clock = systemClock } = options;
  const redisUrl = options.redisUrl ?? (await sharedRedis()).url;
  const store = openRedis({ url: redisUrl, name: "test" });
  await store.start();
  const config = {
    templateSecret: new Secret("a template secret of thirty-two."),
    sweepEveryMs: 100,
    ...options.config,
  };
  const service = await startService(info, {
    config,
    storeUrls: { faces: redisUrl, doors: redisUrl },
    clock,
    ...(options.url === undefined ? {} : { url: options.url }),
  });
  const enrolments = (caller: Caller): Client<typeof EnrolmentService> => service.as(EnrolmentService, caller);
  const models = (caller: Caller): Client<typeof FaceModelService> => service.as(FaceModelService, caller);
  const fixture: MlopsFixture = {
    ...service,
    redisUrl,
    store,
    enrolments,
    models,
    signUp: async () => {
      const person = personOf(systemRandom.uuid());
      await service.deliver(create(UserCreatedSchema, { userId: person.id, aggregateVersion: 1n }));
      return person;
    },
    newBranch: async ({ owner, managers = [] } = {}) => {
      const branchId = systemRandom.uuid();
      const staff = managers.map(({ id }) => ({ userId: id, role: StaffRole.MANAGER }));
      const branch = { branchId, ownerId: owner?.id ?? systemRandom.uuid() };
      await service.deliver(create(BranchCreatedSchema, { branchId, branch, staff, aggregateVersion: 1n }));
      return branchId;
    },
    newModel: async (content = {}) => {
      const { faceModel } = await models(administrator).registerFaceModel({ faceModel: newModel(content) });
      if (faceModel === undefined) throw new Error("a registered model is in the reply");
      return faceModel;
    },
    enrol: async (asked = {}) => {
      const modelId = asked.modelId ?? (await fixture.newModel()).modelId;
      const branchIds = asked.branchIds ?? [await fixture.newBranch()];
      const memberId = asked.memberId ?? (await fixture.signUp()).id;
      const reply = await enrolments(administrator).enrolFace({
        consent,
        embeddings: [newFace()],
        ...asked,
        modelId,
        branchIds,
        memberId,
      });
      if (reply.enrolment === undefined) throw new Error("an enrolment is in the reply");
      return reply.enrolment;
    },
    sweep: () => sweep(service),
    withBackground: (work) => withBackground(service, work),
    [Symbol.asyncDispose]: async () => {
      await service[Symbol.asyncDispose]();
      await store.stop();
    },
  };
  return fixture;
}

/** Runs a service's background work for as long as `work` takes. */
export async function withBackground<T>(service: Pick<TestService, "again">, work: () => Promise<T>): Promise<T> {
  const components = partsOf(service.again().parts, "background").map(({ component }) => component);
  await Promise.all(components.map((component) => component.start()));
  try {
    return await work();
  } finally {
    await Promise.all(components.map((component) => component.stop()));
  }
}

async function sweep(service: TestService): Promise<void> {
  const [sweeper] = partsOf(service.again().parts, "background"); // One that was stopped does not start again.
  if (sweeper === undefined) throw new Error("mlops has no sweeper");
  await sweeper.component.start();
  await eventually(async () => {
    const left = await service.database.sql`
      SELECT change_id FROM face_changes
      UNION ALL SELECT model_id FROM models WHERE told_revision < revision
      UNION ALL SELECT branch_id FROM active_galleries WHERE told_revision < revision`;
    if (left.length > 0) throw new Error(`${left.length} things are left half done`);
  });
  await sweeper.component.stop();
}

/** A consent as a test records it. */
export const consent = { textVersion: "2026-01", time: timestampFromMs(1_700_000_000_000) };

/** A model of an id of its own. */
export function newModel(content: Partial<ModelContent> = {}): Partial<ModelContent> {
  return {
    modelId: `model-${systemRandom.uuid()}`,
    dimensions,
    threshold: 0.5,
    margin: 0.05,
    duplicateThreshold: 0.6,
    ...content,
  };
}

/** A face that is like no other: the cosine of two is small. */
export function newFace(size = dimensions): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(systemRandom.bytes(size * 8).buffer);
  // Box and Muller: without a direction that is preferred.
  const normal = (place: number): number => {
    const [first = 0, second = 0] = words.subarray(2 * place, 2 * place + 2);
    return Math.sqrt(-2 * Math.log((first + 1) / 2 ** 32)) * Math.cos((2 * Math.PI * second) / 2 ** 32);
  };
  return new Uint8Array(bytesOf(Float32Array.from({ length: size }, (_, place) => normal(place))));
}

/** Another picture of a face: its cosine to the first is about 0.95. */
export function anotherPictureOf(face: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const floats = new Float32Array(face.slice().buffer);
  const noise = new Float32Array(newFace(floats.length).buffer);
  return new Uint8Array(bytesOf(floats.map((value, place) => value + 0.3 * (noise[place] ?? 0))));
}

/** A person without scopes. */
export function personOf(id: string): Person {
  return { kind: "person", id, principal: `person:${id}`, scopes: new Set(), sessionId: `session of ${id}` };
}

/** An API key. */
export function apiKeyWith(...scopes: readonly string[]): Caller {
  const id = `key with ${scopes.join(" ")}`;
  return { kind: "api_key", id, principal: `api_key:${id}`, scopes: new Set(scopes) };
}

/** "ok", or the code and reason that a call was refused with. */
export async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    const failure = ConnectError.from(error);
    return `${Code[failure.code]} ${failure.findDetails(ErrorInfoSchema)[0]?.reason ?? failure.rawMessage}`;
  }
}

/** What a call was refused for, as "field: description". */
export async function violationOf(call: Promise<unknown>): Promise<string> {
  const error: unknown = await call.then(
    () => undefined,
    (failure: unknown) => failure,
  );
  const [details] = ConnectError.from(error).findDetails(BadRequestSchema);
  return details?.fieldViolations.map(({ field, description }) => `${field}: ${description}`).join("; ") ?? "";
}
