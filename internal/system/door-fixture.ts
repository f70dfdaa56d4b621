import type { KeyObject } from "node:crypto";
import type { DescService } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Client } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { AccessService, type AccessDecision } from "../gen/muin/face/v1/access_service_pb.ts";
import { EnrolmentService } from "../gen/muin/face/v1/enrolment_service_pb.ts";
import { DecisionReasonSchema } from "../gen/muin/face/v1/entry_pb.ts";
import { FaceModelService } from "../gen/muin/face/v1/face_model_service_pb.ts";
import { DeviceService } from "../gen/muin/identity/v1/device_service_pb.ts";
import { UserService } from "../gen/muin/identity/v1/user_service_pb.ts";
import { nameOf } from "../face/access/decision/meters.ts";
import { systemClock } from "../platform/clock/clock.ts";
import { systemRandom } from "../platform/clock/random.ts";
import { eventually } from "../platform/testing/eventually.ts";
import type { SignedUp } from "../platform/testing/sign-up.ts";
import { createSyntheticFaces } from "../shared/faces/synthetic-faces.ts";
import { deviceClient, newBranch, newDevice } from "./device-fixture.ts";

/** Where a Muin is reached, be it one process or many. */
export interface Site {
  /** A client; `key` is the operator key unless told otherwise. */
  client<S extends DescService>(service: S, key?: string): Client<S>;
  /** Base URL at which a service answers. */
  urlOf(service: DescService): string;
  signUp(account: {
    readonly email: string;
    readonly password: string;
    readonly displayName?: string;
  }): Promise<SignedUp>;
}

export const modelId = "arc";
/** Faces of people who do not exist; their pictures are told apart by `thresholds`. */
const seed = 20_260;
const faces = createSyntheticFaces({ seed, dimensions: 512 });
const thresholds = { threshold: 0.4, margin: 0.05, duplicateThreshold: 0.5 };
const password = "correct horse battery";

/** A device of a branch. */
export interface DoorDevice {
  readonly token: string;
  readonly privateKey: KeyObject;
}

/** Somebody with an account, a membership and an enrolled face. */
export interface Visitor {
  /** Of their face. */
  readonly person: number;
  readonly userId: string;
  readonly enrolmentId: string;
  /** What was enrolled. */
  readonly embedding: Float32Array;
  readonly accessToken: string;
}

/** A branch whose doors decide by `modelId`, and its owner. */
export interface DoorBranch {
  readonly branchId: string;
  readonly ownerId: string;
  readonly ownerToken: string;
}

let accounts = 0;

async function newAccount(site: Site): Promise<SignedUp> {
  return site.signUp({ email: `somebody${++accounts}@example.org`, password, displayName: `Somebody ${accounts}` });
}

/** Registers the model and makes a branch. */
export async function newDoorBranch(site: Site): Promise<DoorBranch> {
  await site.client(FaceModelService).registerFaceModel({ faceModel: { modelId, dimensions: 512, ...thresholds } });
  const { userId, tokens } = await newAccount(site);
  return { branchId: await newBranch(site, userId), ownerId: userId, ownerToken: tokens.accessToken };
}

/** A new device of the branch. */
export function newDoorDevice(site: Site, branchId: string): Promise<DoorDevice> {
  return newDevice({ client: (...args) => site.client(...args), http: site.urlOf(DeviceService) }, branchId);
}

let people = 0;

/** Signs somebody up, gives them a membership and enrols their face; resolves once the door of the branch opens for them. */
export async function newVisitor(site: Site, branchId: string, device: DoorDevice): Promise<Visitor> {
  const { userId, tokens } = await newAccount(site);
  await eventually(() => site.client(UserService).setMembership({ userId, membership: { plan: "standard" } }));
  const visitor = await enrol(site, branchId, { userId, accessToken: tokens.accessToken }, people++);
  await eventually(
    async () => {
      const { said } = await ask(site, device, { branchId, embedding: newPicture(visitor) });
      if (said !== "ADMITTED") throw new Error(`the door does not open for an enrolled member: ${said}`);
    },
    { timeoutMs: 30_000 },
  );
  return visitor;
}

/** Enrols a face for somebody. */
export async function enrol(
  site: Site,
  branchId: string,
  { userId, accessToken }: Pick<Visitor, "userId" | "accessToken">,
  person: number,
): Promise<Visitor> {
  const embedding = faces.photographOf(person, 0);
  // mlops learns of people and branches by events.
  const { enrolment } = await eventually(() =>
    site.client(EnrolmentService).enrolFace({
      branchIds: [branchId],
      memberId: userId,
      modelId,
      embeddings: [bytesOf(embedding)],
      consent: { textVersion: "2026-01", time: timestampFromMs(systemClock.now()) },
    }),
  );
  return { person, userId, accessToken, embedding, enrolmentId: enrolment?.enrolmentId ?? "" };
}

let photographs = 0;

/** A picture of an enrolled person that was never taken before and by which they are recognised. */
export function newPicture({ person, embedding }: Pick<Visitor, "person" | "embedding">): Uint8Array<ArrayBuffer> {
  for (;;) {
    const picture = faces.photographOf(person, ++photographs);
    if (cosineOf(picture, embedding) > thresholds.threshold + 0.1) return bytesOf(picture);
  }
}

/** Numbers of people who are never enrolled begin here; no two pictures are of the same one. */
let strangers = 1_000_000;

/** A picture of a person who is not enrolled. */
export function strangersPicture(): Uint8Array<ArrayBuffer> {
  return bytesOf(faces.photographOf(++strangers, 0));
}

/** A face that is nearly the person's: its cosine is a hundredth below the threshold. */
export function nearMiss({ embedding }: Pick<Visitor, "embedding">): Uint8Array<ArrayBuffer> {
  const cosine = thresholds.threshold - 0.01;
  const other = faces.photographOf(++strangers, 0);
  const along = cosineOf(other, embedding);
  const across = other.map((value, k) => value - along * (embedding[k] as number));
  const factor = Math.sqrt((1 - cosine * cosine) / cosineOf(across, across));
  return bytesOf(across.map((value, k) => factor * value + cosine * (embedding[k] as number)));
}

const used: Uint8Array[] = [];

/** Every embedding that was enrolled or sent so far. */
export function embeddingsUsed(): readonly Uint8Array[] {
  return used;
}

function bytesOf(embedding: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(embedding.buffer);
  used.push(bytes);
  return bytes;
}

/** Of vectors of length 1. */
function cosineOf(one: Float32Array, other: Float32Array): number {
  return one.reduce((sum, value, k) => sum + value * (other[k] as number), 0);
}

/** What a device sends, apart from what is alike in all requests. */
export interface Question {
  readonly branchId: string;
  readonly embedding: Uint8Array<ArrayBuffer>;
  readonly capturedAtMs?: number;
  readonly nonce?: string;
}

/** What a door said. */
export interface DoorAnswer {
  /** The reason of the decision, or of the error; where that has none, its code. */
  readonly said: string;
  /** `undefined` where nothing was decided. */
  readonly decision: AccessDecision | undefined;
}

export function newNonce(): string {
  return Buffer.from(systemRandom.bytes(16)).toString("base64url");
}

/** The request for a question. */
export function requestOf({ branchId, embedding, capturedAtMs = systemClock.now(), nonce = newNonce() }: Question) {
  return { branchId, modelId, embedding, nonce, capturedAt: timestampFromMs(capturedAtMs) };
}

/** Asks by Identify, at the place where access answers unless told otherwise. */
export function ask(
  site: Pick<Site, "urlOf">,
  { token, privateKey }: DoorDevice,
  question: Question,
  url: string = site.urlOf(AccessService),
): Promise<DoorAnswer> {
  return answerOf(
    deviceClient(AccessService, url, privateKey, token)
      .identify(requestOf(question), { timeoutMs: askMsMax })
      .then(({ accessDecision }) => accessDecision),
  );
}

/** A door that has not answered by then says nothing. */
const askMsMax = 10_000;

/** How a question ended. */
export async function answerOf(asked: Promise<AccessDecision | undefined>): Promise<DoorAnswer> {
  try {
    const decision = await asked;
    return { said: nameOf(DecisionReasonSchema, decision?.reason ?? 0), decision };
  } catch (error) {
    const failure = ConnectError.from(error);
    return { said: failure.findDetails(ErrorInfoSchema)[0]?.reason ?? Code[failure.code], decision: undefined };
  }
}
