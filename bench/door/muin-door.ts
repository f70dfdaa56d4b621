import { generateKeyPairSync } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createRedisCopies } from "../../internal/face/access/copies/store-redis.ts";
import { bytesOf, readEmbedding } from "../../internal/face/shared/embedding.ts";
import { createFaceWriter } from "../../internal/face/shared/face-writer-redis.ts";
import type { FaceWriter } from "../../internal/face/shared/face-writer.ts";
import { createTemplates, type Templates } from "../../internal/face/shared/template.ts";
import { EnrolmentService } from "../../internal/gen/muin/face/v1/enrolment_service_pb.ts";
import { FaceModelService } from "../../internal/gen/muin/face/v1/face_model_service_pb.ts";
import { BranchService } from "../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { DeviceService } from "../../internal/gen/muin/identity/v1/device_service_pb.ts";
import { OwnerService } from "../../internal/gen/muin/identity/v1/owner_service_pb.ts";
import { MembershipSchema } from "../../internal/gen/muin/identity/v1/user_pb.ts";
import { UserService } from "../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { Secret } from "../../internal/platform/config/fields.ts";
import { openRedis } from "../../internal/platform/redis/open-redis.ts";
import { eventually } from "../../internal/platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../../internal/platform/testing/muin.ts";
import { deviceClient } from "../../internal/system/device-fixture.ts";
import { inTurns } from "./in-turns.ts";
import { enrolmentOf, model } from "./galleries.ts";
import { newFaces } from "./people.ts";

/** What a device needs to sign its calls. */
export interface BenchDevice {
  readonly token: string;
  /** PKCS #8, PEM. */
  readonly privateKey: string;
}

/** A running Muin with branches, galleries and devices. */
export interface MuinDoor extends AsyncDisposable {
  readonly muin: TestMuin;
  readonly devices: readonly BenchDevice[];
  /** Branch by number of faces. */
  readonly branches: Readonly<Record<string, string>>;
  /** Somebody with a membership, of whom one face is enrolled at all branches, apart from the galleries. */
  readonly member: { readonly userId: string; readonly enrolmentId: string };
}

/** Devices that the calls are spread over: each is given but so many in a minute. */
const deviceCount = 16;
/** More than a bench sends. */
const room = {
  MUIN_ACCESS_ATTEMPTS_PER_MINUTE_MAX: "100000",
  MUIN_ACCESS_EMBEDDINGS_PER_DEVICE_MAX: "10000000",
  MUIN_ACCESS_DENIALS_MAX: "10000",
  MUIN_ACCESS_DENIALS_WINDOW_MS: "1000",
};
/** Time for services to have heard of each other's news, on a busy machine. */
const heardMsMax = 30_000;

/** Starts a Muin and fills its face Redis past the services: nobody signs up twenty thousand people for a bench. */
export async function startMuinDoor(sizes: readonly number[], faces: readonly Float32Array[]): Promise<MuinDoor> {
  await using started = new AsyncDisposableStack();
  const muin = await startMuin({ env: room });
  started.defer(() => muin[Symbol.asyncDispose]());
  const owner = await muin.signUp({ email: "owner@example.org", password, displayName: "Owner" });
  const branches: Record<string, string> = {};
  await heard(() => muin.client(OwnerService).registerOwner({ owner: { userId: owner.userId, companyName: "Gym" } }));
  for (const size of sizes) {
    const branch = { displayName: `${size} faces`, timeZone: "Asia/Seoul", ownerId: owner.userId };
    const created = await muin.client(BranchService).createBranch({ branch });
    branches[size] = created.branch?.branchId ?? "";
  }
  const branchIds = Object.values(branches);
  const member = await openDoors(muin, branchIds);
  await fill(muin, branches, faces);
  const devices: BenchDevice[] = [];
  for (let device = 0; device < deviceCount; device += 1) devices.push(await newDevice(muin, branchIds));
  const kept = started.move();
  return { muin, devices, branches, member, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

const password = "correct horse battery";

function heard<T>(ask: () => Promise<T>): Promise<T> {
  return eventually(ask, { timeoutMs: heardMsMax });
}

/** The first face at a branch says by which model its doors decide. */
async function openDoors(muin: TestMuin, branchIds: readonly string[]): Promise<MuinDoor["member"]> {
  const { threshold, margin, duplicateThreshold, dimensions, modelId } = model;
  const faceModel = { modelId, dimensions, threshold, margin, duplicateThreshold };
  await muin.client(FaceModelService).registerFaceModel({ faceModel });
  const { userId } = await muin.signUp({ email: "member@example.org", password, displayName: "Member" });
  await heard(() => muin.client(UserService).setMembership({ userId, membership: { plan: "standard" } }));
  const [face] = newFaces(1);
  if (face === undefined) throw new Error("no face");
  const { enrolment } = await heard(() =>
    muin.client(EnrolmentService).enrolFace({
      branchIds: [...branchIds],
      memberId: userId,
      modelId,
      embeddings: [bytesOf(face)],
      consent: { textVersion: "bench", time: timestampFromMs(Date.now()) },
    }),
  );
  return { userId, enrolmentId: enrolment?.enrolmentId ?? "" };
}

/** Writes galleries and memberships as mlops and access do. */
async function fill(muin: TestMuin, branches: MuinDoor["branches"], faces: readonly Float32Array[]): Promise<void> {
  const secrets = JSON.parse(await readFile(join(muin.dataDir, "secrets.json"), "utf8")) as Record<string, string>;
  const ports = JSON.parse(await readFile(join(muin.dataDir, "ports.json"), "utf8")) as Record<string, number>;
  const urlOf = (account: string): string =>
    `redis://${account}:${secrets[`redis/faces/${account}`]}@127.0.0.1:${ports["redis/faces"]}`;
  const templates = createTemplates({ present: new Secret(secrets["MUIN_FACE_TEMPLATE_SECRET"] ?? "") });
  const [mlops, access] = ["mlops", "access"].map((account) =>
    openRedis({ url: urlOf(account), name: "bench-filler" }),
  );
  if (mlops === undefined || access === undefined) throw new Error("no accounts");
  try {
    await Promise.all([mlops.start(), access.start()]);
    const writer = createFaceWriter(mlops);
    for (const [size, branchId] of Object.entries(branches))
      await fillOne(writer, templates, branchId, faces.slice(0, Number(size)));
    const copies = createRedisCopies(access);
    const membership = create(MembershipSchema, { plan: "standard" });
    await inTurns(faces.length, (person) =>
      copies.changeMembership(enrolmentOf(person).memberId, membership, { epoch: 1, version: 1n }),
    );
  } finally {
    await Promise.all([mlops.stop(), access.stop()]);
  }
}

async function fillOne(
  writer: FaceWriter,
  templates: Templates,
  branchId: string,
  faces: readonly Float32Array[],
): Promise<void> {
  const gallery = await writer.readActive(branchId);
  if (gallery === undefined) throw new Error("the doors of a branch decide by nothing");
  await inTurns(faces.length, async (person) => {
    const read = readEmbedding(bytesOf(faces[person] as Float32Array), model);
    const template = read.unit && templates.turn(gallery, read.unit);
    if (template === undefined) throw new Error("no template");
    await writer.put(enrolmentOf(person), [{ gallery, templates: [template] }]);
  });
}

async function newDevice(muin: TestMuin, branchIds: readonly string[]): Promise<BenchDevice> {
  const { activationCode } = await heard(() =>
    muin.client(DeviceService).registerDevice({ branchIds: [...branchIds] }),
  );
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const { x = "" } = publicKey.export({ format: "jwk" });
  const client = deviceClient(DeviceService, muin.http, privateKey);
  const { device } = await client.activateDevice({ activationCode, publicKey: Buffer.from(x, "base64url") });
  const { token } = await client.issueDeviceToken({ deviceId: device?.deviceId ?? "" });
  return { token, privateKey: privateKey.export({ format: "pem", type: "pkcs8" }) };
}
