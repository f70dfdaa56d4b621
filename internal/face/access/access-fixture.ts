import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createContextValues, createHandlerContext, type Client, type ServiceImpl } from "@connectrpc/connect";
import {
  AccessService,
  IdentifyRequestSchema,
  RecordExitRequestSchema,
  RedeemPassRequestSchema,
  VerifyRequestSchema,
  type AccessDecision,
} from "../../gen/muin/face/v1/access_service_pb.ts";
import {
  DecisionReasonSchema,
  EntryKindSchema,
  ReplayCheckSchema,
  type Entry,
} from "../../gen/muin/face/v1/entry_pb.ts";
import { BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { BranchState, StaffRole, type BranchSchema } from "../../gen/muin/identity/v1/branch_pb.ts";
import { UserStatusChangedSchema, UserUpdatedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import type { MembershipSchema, UserStatus } from "../../gen/muin/identity/v1/user_pb.ts";
import { systemClock, type Clock } from "../../platform/clock/clock.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import { MuinError } from "../../platform/errors/muin-error.ts";
import { callerKey, type Caller } from "../../platform/identity/caller.ts";
import type { EntryPasses } from "../../platform/identity/entry-pass.ts";
import { openRedis, type OpenRedis } from "../../platform/redis/open-redis.ts";
import type { ServiceInfo } from "../../platform/service/define-service.ts";
import type { MetricsRegistry } from "../../platform/telemetry/create-metrics.ts";
import type { EventPublisher } from "../../platform/service/event-record.ts";
import { partsOf } from "../../platform/service/parts.ts";
import { createServerFolder } from "../../platform/testing/server-folder.ts";
import { startService, type TestService } from "../../platform/testing/service.ts";
import { bytesOf, readEmbedding } from "../shared/embedding.ts";
import { secret } from "../shared/face-fixture.ts";
import { createFaceWriter } from "../shared/face-writer-redis.ts";
import type { FaceWriter } from "../shared/face-writer.ts";
import { markFresh, readRunId } from "../shared/fresh.ts";
import { createTemplates } from "../shared/template.ts";
import { nameOf } from "./decision/meters.ts";
import { access } from "./definition.ts";

/** Numbers in an embedding of the tests. */
export const dimensions = 64;
export const modelId = "model";

/** access with its background work, on a face Redis, and a world of branches, people and faces that the test holds in its hand. */
export interface AccessFixture extends TestService {
  readonly redis: OpenRedis;
  /** Where entries wait on disk. */
  readonly folder: string;
  /** A new branch with an active gallery. */
  newBranch(branch?: MessageInitShape<typeof BranchSchema>, staff?: readonly string[]): Promise<string>;
  /** Tells a branch again, changed. */
  changeBranch(
    branchId: string,
    branch: MessageInitShape<typeof BranchSchema>,
    staff?: readonly string[],
  ): Promise<void>;
  /** A new person with a membership, enrolled at a branch. */
  newMember(branchId: string, membership?: MessageInitShape<typeof MembershipSchema>): Promise<Member>;
  statusChanged(userId: string, status: UserStatus, version: bigint): Promise<void>;
  /** A device at these branches. */
  newDevice(...branchIds: readonly string[]): Device;
  identify(device: Device, request: Partial<FaceRequest>, header?: string): Promise<AccessDecision>;
  verify(device: Device, request: Partial<FaceRequest> & { readonly memberId: string }): Promise<AccessDecision>;
  redeem(
    device: Device,
    request: { readonly pass: string } & Partial<Omit<FaceRequest, "modelId" | "embedding">>,
  ): Promise<AccessDecision>;
  exit(device: Device, branchId: string, memberId: string, more?: { readonly nonce?: string }): Promise<string>;
  /** Waits until nothing is in the queue, and reads an entry. */
  entry(entryId: string): Promise<Entry>;
  entries(caller: Caller): Client<typeof AccessService>;
  /** Stops its background work, as a stop of the process does. */
  stopWork(): Promise<void>;
}

export type Device = Extract<Caller, { kind: "device" }>;

export interface Member {
  readonly id: string;
  /** Their face, as the model sees it. */
  readonly embedding: Uint8Array;
}

/** What a device sends. */
export interface FaceRequest {
  readonly branchId: string;
  readonly modelId: string;
  readonly embedding: Uint8Array;
  readonly capturedAtMs: number;
  readonly nonce: string;
  readonly padScore: number;
}

/** May read all entries. */
export const reader: Caller = {
  kind: "api_key",
  id: "reader",
  principal: "api_key:reader",
  scopes: new Set(["entries.read"]),
};

/** Starts access on the face Redis at `url`. */
export async function startAccess(
  url: string,
  options: {
    readonly info?: ServiceInfo;
    readonly config?: Readonly<Record<string, unknown>>;
    readonly clock?: Clock;
    readonly metrics?: MetricsRegistry;
    /** By which passes are judged. Default: none is good. */
    readonly entryPasses?: EntryPasses;
    /** Where entries wait on disk, for one who goes on after another. Default: a new folder. */
    readonly folder?: string;
    /** URL of the database, for one that shares it with another. Default: a new one. */
    readonly database?: string;
    /** Takes what it asks of others. Default: that fails. */
    readonly broker?: EventPublisher;
  } = {},
): Promise<AccessFixture> {
  const { info = access, config = {}, clock = systemClock } = options;
  const folder = options.folder ?? (await createServerFolder("access")).path;
  const service = await startService(info, {
    config: { templateSecret: secret, ...config },
    storeUrls: { faces: url, galleries: url },
    storePaths: { queue: folder },
    clock,
    ...(options.database === undefined ? {} : { url: options.database }),
    ...(options.metrics === undefined ? {} : { metrics: options.metrics }),
    ...(options.broker === undefined ? {} : { broker: options.broker }),
    ...(options.entryPasses === undefined ? {} : { entryPasses: options.entryPasses }),
  });
  const redis = openRedis({ url, name: "test" });
  await redis.start();
  await markFresh(redis, await readRunId(redis));
  const work = partsOf(service.parts, "background").map(({ component }) => component);
  for (const component of work) await component.start();
  const stopWork = async (): Promise<void> => {
    for (const component of work.toReversed()) await component.stop();
  };
  const entries = (caller: Caller): Client<typeof AccessService> => service.as(AccessService, caller);
  return {
    ...service,
    ...(await createWorld(service, createFaceWriter(redis))),
    ...createDoors(partsOf(service.parts, "served")[0]?.impl as ServiceImpl<typeof AccessService>, clock),
    redis,
    folder,
    stopWork,
    entries,
    entry: async (entryId) => {
      const { entry } = await entries(reader).getEntry({ entryId });
      if (entry === undefined) throw new Error("no entry in the reply");
      return entry;
    },
    [Symbol.asyncDispose]: async () => {
      await stopWork();
      await redis.stop();
      await service[Symbol.asyncDispose]();
    },
  };
}

type World = Pick<AccessFixture, "newBranch" | "changeBranch" | "newMember" | "statusChanged">;

/** Branches, people and faces, as other services tell of them. */
async function createWorld(service: Pick<TestService, "deliver">, writer: FaceWriter): Promise<World> {
  const templates = createTemplates({ present: secret });
  const model = {
    modelId,
    dimensions,
    mean: undefined,
    threshold: 0.5,
    margin: 0.05,
    duplicateThreshold: 0.8,
    revision: 1,
  };
  await writer.putModel(model);
  const versions = new Map<string, bigint>();
  const nextVersion = (id: string): bigint => {
    const version = (versions.get(id) ?? 0n) + 1n;
    versions.set(id, version);
    return version;
  };
  const world: World = {
    newBranch: async (branch = {}, staff = []) => {
      const branchId = systemRandom.uuid();
      await writer.activate({ branchId, modelId, generation: 1, keyId: templates.keyId }, 0);
      await world.changeBranch(branchId, branch, staff);
      return branchId;
    },

    changeBranch: (branchId, branch, staff = []) =>
      service.deliver(
        create(BranchUpdatedSchema, {
          branchId,
          branch: { branchId, timeZone: "Asia/Seoul", state: BranchState.ACTIVE, ...branch },
          staff: staff.map((userId) => ({ userId, role: StaffRole.ATTENDANT })),
          aggregateVersion: nextVersion(branchId),
        }),
      ),

    newMember: async (branchId, membership = { plan: "standard" }) => {
      const [id, enrolmentId] = [systemRandom.uuid(), systemRandom.uuid()];
      const embedding = anyEmbedding();
      const gallery = await writer.readActive(branchId);
      const read = readEmbedding(embedding, model);
      if (gallery === undefined || read.fault !== undefined) throw new Error("the branch has no gallery");
      const template = templates.turn(gallery, read.unit);
      await writer.put({ memberId: id, enrolmentId }, [{ gallery, templates: [template!] }]);
      await service.deliver(create(UserUpdatedSchema, { userId: id, membership, aggregateVersion: nextVersion(id) }));
      return { id, embedding };
    },

    statusChanged: (userId, status, aggregateVersion) =>
      service.deliver(create(UserStatusChangedSchema, { userId, status, aggregateVersion })),
  };
  return world;
}

type Doors = Pick<AccessFixture, "newDevice" | "identify" | "verify" | "redeem" | "exit">;

/** Devices, whose calls are taken as proven. */
function createDoors(impl: ServiceImpl<typeof AccessService>, clock: Clock): Doors {
  const requestOf = (device: Device, given: Partial<FaceRequest>) => {
    const { capturedAtMs = clock.now(), ...rest } = given;
    return {
      branchId: [...device.branchIds][0] ?? "",
      modelId,
      embedding: anyEmbedding(),
      nonce: newNonce(),
      capturedAt: timestampFromMs(capturedAtMs),
      ...rest,
    };
  };
  return {
    newDevice: (...branchIds) => {
      const id = systemRandom.uuid();
      return { kind: "device", id, principal: `device:${id}`, branchIds: new Set(branchIds), key: undefined as never };
    },

    identify: async (device, given, header) => {
      const request = create(IdentifyRequestSchema, requestOf(device, given));
      const reply = await impl.identify(request, contextOf(device, header));
      return reply.accessDecision as AccessDecision;
    },

    verify: async (device, given) => {
      const request = create(VerifyRequestSchema, { ...requestOf(device, given), memberId: given.memberId });
      const reply = await impl.verify(request, contextOf(device));
      return reply.accessDecision as AccessDecision;
    },

    redeem: async (device, given) => {
      const { embedding: _, modelId: __, ...rest } = requestOf(device, given);
      const request = create(RedeemPassRequestSchema, { ...rest, pass: given.pass });
      const reply = await impl.redeemPass(request, contextOf(device));
      return reply.accessDecision as AccessDecision;
    },

    exit: async (device, branchId, memberId, { nonce = newNonce() } = {}) => {
      const capturedAt = timestampFromMs(clock.now());
      const request = create(RecordExitRequestSchema, { branchId, memberId, nonce, capturedAt });
      const reply = await impl.recordExit(request, contextOf(device));
      return reply.entryId ?? "";
    },
  };
}

function contextOf(device: Device, header?: string) {
  return createHandlerContext({
    service: AccessService,
    method: AccessService.method.identify,
    protocolName: "test",
    requestMethod: "POST",
    url: "http://test",
    ...(header === undefined ? {} : { requestHeader: { "muin-branch": header } }),
    contextValues: createContextValues().set(callerKey, device),
  });
}

/** A face that is nobody's. */
export function anyEmbedding(): Uint8Array {
  const floats = Float32Array.from({ length: dimensions }, () => systemRandom.fraction() - 0.5);
  return new Uint8Array(bytesOf(floats));
}

/** The same face, seen a little differently: the cosine of both is above 0.95. */
export function seenAgain(embedding: Uint8Array): Uint8Array {
  const floats = new Float32Array(embedding.slice().buffer);
  for (const [place, value] of floats.entries()) floats[place] = value + (systemRandom.fraction() - 0.5) * 0.1;
  return new Uint8Array(bytesOf(floats));
}

export function newNonce(): string {
  return Buffer.from(systemRandom.bytes(16)).toString("base64url");
}

/** The reason of a decision, or of the error, as text. */
export async function reasonOf(decision: Promise<AccessDecision>): Promise<string> {
  try {
    return nameOf(DecisionReasonSchema, (await decision).reason);
  } catch (error) {
    if (error instanceof MuinError) return error.reason;
    throw error;
  }
}

/** What a test compares of an entry. */
export function essenceOf({ kind, reason, memberId, replayCheck }: Entry) {
  return {
    kind: nameOf(EntryKindSchema, kind),
    reason: nameOf(DecisionReasonSchema, reason),
    memberId,
    replayCheck: nameOf(ReplayCheckSchema, replayCheck),
  };
}
