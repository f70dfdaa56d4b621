import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AccessService } from "../../../internal/gen/muin/face/v1/access_service_pb.ts";
import { GalleryState } from "../../../internal/gen/muin/face/v1/face_model_pb.ts";
import { FaceModelService } from "../../../internal/gen/muin/face/v1/face_model_service_pb.ts";
import { EnrolmentService } from "../../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import { BranchService } from "../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { DeviceService } from "../../../internal/gen/muin/identity/v1/device_service_pb.ts";
import { OwnerService } from "../../../internal/gen/muin/identity/v1/owner_service_pb.ts";
import { UserService } from "../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import type { SyntheticFaces } from "../../../internal/shared/faces/synthetic-faces.ts";
import { bytesOfValues } from "../faces/embedding.ts";
import type { Remote } from "../remote/remote-command.ts";
import { Failure } from "../terminal/failure.ts";
import { accountOf, type AccountsDeps, type MadePerson } from "./accounts.ts";
import { onceKnown } from "./once-known.ts";

/** The model that made-up faces are said to be of; its numbers fit `createSyntheticFaces` with 512 dimensions. */
export const syntheticModel = {
  modelId: "synthetic-512",
  displayName: "Made-up faces",
  dimensions: 512,
  threshold: 0.4,
  margin: 0.05,
  duplicateThreshold: 0.6,
} as const;

/** Accounts and enrolments that are made at once. */
const atOnce = 4;

const consentText = "made-up people need none";

/** Visits a second that one device is used for: it may make two attempts a second, and some more people come by chance. */
const visitsPerDevice = 1.6;

/** A device at a door. */
export interface SceneDevice {
  /** Headers of its calls. */
  readonly headers: Readonly<Record<string, string>>;
  readonly access: Client<typeof AccessService>;
}

/** A branch with devices at its doors, and people who are enrolled there. */
export interface Scene {
  readonly branchId: string;
  readonly devices: readonly SceneDevice[];
  /** Ids of the enrolled, by their number. */
  readonly memberIds: readonly string[];
  /** Ends the devices; with `all`, deletes the people and closes the branch that this or an earlier run made. */
  end(all: boolean): Promise<void>;
}

/** What a scene is made from. */
export interface SceneOptions {
  readonly seed: number;
  readonly people: number;
  /** Visits a second. */
  readonly rate: number;
  /** The branch; `undefined`: one that is made. */
  readonly branch: string | undefined;
  readonly faces: SyntheticFaces;
  /** Told how many people are enrolled. */
  readonly onEnrolled: (count: number) => void;
}

/** Makes what of the scene is not there yet. */
export async function makeScene(options: SceneOptions, muin: Remote & AccountsDeps): Promise<Scene> {
  const people = await inTurns(options.people, (person) => accountOf(options.seed, person, muin), muin);
  const owner = people[0];
  if (owner === undefined) throw new Failure("usage", "a scene needs people");
  const own = options.branch === undefined;
  const branchId = options.branch ?? (await madeBranch(options.seed, owner.userId, muin));
  await muin.repeat(() => muin.client(FaceModelService).registerFaceModel({ faceModel: syntheticModel }));
  await enrolAll(options, people, branchId, muin);
  await decideBySynthetic(branchId, muin);
  const count = Math.ceil(options.rate / visitsPerDevice);
  const devices = await inTurns(count, () => newDevice(branchId, muin), muin);
  return {
    branchId,
    devices: devices.map(({ privateKey, token }) => ({
      headers: { authorization: `Bearer ${token}`, "muin-branch": branchId },
      access: muin.deviceClient(AccessService, privateKey),
    })),
    memberIds: people.map(({ userId }) => userId),
    end: async (all) => {
      // The walk may have been interrupted: what was made is ended all the same.
      const ending = { ...muin, signal: new AbortController().signal };
      const client: Remote["client"] = (service) => muin.client(service, ending.signal);
      const end = async ({ deviceId }: { readonly deviceId: string }): Promise<unknown> =>
        client(DeviceService).revokeDevice({ deviceId });
      await inTurns(devices.length, (index) => end(devices[index] as { readonly deviceId: string }), ending);
      if (!all) return;
      if (own) await client(BranchService).closeBranch({ branchId });
      const remove = (userId: string): Promise<unknown> => client(UserService).deleteUser({ userId });
      await inTurns(people.length, (person) => remove(people[person]?.userId ?? ""), ending);
    },
  };
}

/** The branch of a seed: the one that an earlier run made, or a new one that is always open. */
async function madeBranch(seed: number, ownerId: string, muin: Remote): Promise<string> {
  const displayName = `Made-up branch ${seed}`;
  const owner = { userId: ownerId, companyName: "Made up" };
  await onceKnown(() => muin.client(OwnerService).registerOwner({ owner }), muin).catch((error: unknown) => {
    if (ConnectError.from(error).code !== Code.AlreadyExists) throw error; // By an earlier run.
  });
  const { branches } = await muin.client(BranchService).listBranches({ ownerId, pageSize: 100 });
  const known = branches.find((branch) => branch.displayName === displayName);
  if (known !== undefined) return known.branchId;
  const request = { branch: { displayName, ownerId, timeZone: "Etc/UTC" }, requestId: muin.random.uuid() };
  const { branch } = await onceKnown(() => muin.repeat(() => muin.client(BranchService).createBranch(request)), muin);
  return branch?.branchId ?? "";
}

async function enrolAll(
  { faces, onEnrolled }: SceneOptions,
  people: readonly MadePerson[],
  branchId: string,
  muin: Remote,
): Promise<void> {
  const enrolments = muin.client(EnrolmentService);
  const enrolled = new Set<string>();
  for (let pageToken = ""; ;) {
    const page = await onceKnown(() => enrolments.listEnrolments({ branchId, pageSize: 1000, pageToken }), muin);
    for (const { memberId, modelId } of page.enrolments) if (modelId === syntheticModel.modelId) enrolled.add(memberId);
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  let count = 0;
  const time = timestampFromMs(muin.clock.now());
  await inTurns(
    people.length,
    async (person) => {
      const memberId = people[person]?.userId ?? "";
      if (!enrolled.has(memberId)) {
        const request = {
          branchIds: [branchId],
          memberId,
          modelId: syntheticModel.modelId,
          embeddings: [bytesOfValues(faces.photographOf(person, 0))],
          consent: { textVersion: consentText, time },
          requestId: muin.random.uuid(),
        };
        await onceKnown(() => muin.repeat(() => enrolments.enrolFace(request)), muin);
      }
      count += 1;
      onEnrolled(count);
    },
    muin,
  );
}

/** Refuses to change by which model the doors of somebody's branch decide. */
async function decideBySynthetic(branchId: string, { client }: Remote): Promise<void> {
  const { galleries } = await client(FaceModelService).listFaceModels({ branchId, pageSize: 1000 });
  const active = galleries.find(({ state }) => state === GalleryState.ACTIVE);
  if (active === undefined || active.modelId === syntheticModel.modelId) return;
  throw new Failure(
    "conflict",
    `the doors of branch ${branchId} decide by ${active.modelId}, not by ${syntheticModel.modelId}: leave --branch out`,
  );
}

/** A device whose key lives with this process. */
async function newDevice(
  branchId: string,
  muin: Remote,
): Promise<{ readonly deviceId: string; readonly privateKey: KeyObject; readonly token: string }> {
  const register = () =>
    muin.client(DeviceService).registerDevice({ branchIds: [branchId], displayName: "Made-up door" });
  const { activationCode } = await onceKnown(register, muin);
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const { x = "" } = publicKey.export({ format: "jwk" });
  const devices = muin.deviceClient(DeviceService, privateKey);
  const { device } = await devices.activateDevice({
    activationCode,
    publicKey: Uint8Array.from(Buffer.from(x, "base64url")),
  });
  const deviceId = device?.deviceId ?? "";
  const { token } = await devices.issueDeviceToken({ deviceId });
  return { deviceId, privateKey, token };
}

/** Does work for 0 to `count` - 1, several at once, and gives what came of it in their order. Rejects with the first failure. */
async function inTurns<T>(
  count: number,
  work: (index: number) => Promise<T>,
  { signal }: Pick<Remote, "signal">,
): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const turn = async (): Promise<void> => {
    while (next < count) {
      signal.throwIfAborted();
      const index = next++;
      results[index] = await work(index);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, turn));
  return results;
}
