import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { FaceEnrolmentRecordedSchema } from "../../gen/muin/face/v1/enrolment_events_pb.ts";
import {
  ApiKeyRevokedSchema,
  DeviceRevokedSchema,
  EntryPassRevokedSchema,
  ServiceWithdrawnSchema,
  SessionRevokedSchema,
} from "../../gen/muin/identity/v1/session_events_pb.ts";
import {
  UserCreatedSchema,
  UserDataErasedSchema,
  UserProfileSchema,
} from "../../gen/muin/identity/v1/user_events_pb.ts";
import type { Publish } from "../../platform/service/delivery.ts";
import type { Random } from "../../platform/clock/random.ts";
import { sealPersonal, type PersonKey } from "../../shared/person/person-seal.ts";
import type { Transaction } from "../../platform/postgres/database.ts";

/** Events that auth publishes. */
export const published = [
  UserCreatedSchema,
  UserDataErasedSchema,
  SessionRevokedSchema,
  ApiKeyRevokedSchema,
  DeviceRevokedSchema,
  ServiceWithdrawnSchema,
  EntryPassRevokedSchema,
  FaceEnrolmentRecordedSchema,
] as const;

/** Records one of auth's events in a transaction. */
export type AuthPublish = Publish<typeof published>;

/** What UserCreated tells of an account. */
export interface CreatedAccount {
  readonly email: string;
  readonly displayName: string;
  readonly roles: readonly string[];
  readonly version: bigint;
  readonly createTimeMs: number;
}

/** Records UserCreated. The account's row must be locked by `tx`. */
export async function publishUserCreated(
  tx: Transaction,
  publish: AuthPublish,
  random: Random,
  person: PersonKey,
  account: CreatedAccount,
): Promise<void> {
  const { email, displayName } = account;
  await publish(tx, UserCreatedSchema, {
    userId: person.personId,
    profile: sealPersonal(UserProfileSchema, { email, displayName }, person, random),
    roles: [...account.roles],
    aggregateVersion: account.version,
    time: timestampFromMs(account.createTimeMs),
  });
}

/** Records SessionRevoked. No token of the session was issued after `untilMs`. The session's row must be locked by `tx`. */
export async function publishSessionRevoked(
  tx: Transaction,
  publish: AuthPublish,
  sessionId: string,
  version: bigint,
  untilMs: number,
): Promise<void> {
  await publish(tx, SessionRevokedSchema, { sessionId, aggregateVersion: version, time: timestampFromMs(untilMs) });
}

/** Records ApiKeyRevoked. The key's row must be locked by `tx`. */
export async function publishApiKeyRevoked(
  tx: Transaction,
  publish: AuthPublish,
  apiKeyId: string,
  version: bigint,
  nowMs: number,
): Promise<void> {
  await publish(tx, ApiKeyRevokedSchema, { apiKeyId, aggregateVersion: version, time: timestampFromMs(nowMs) });
}

/** Records DeviceRevoked. The device's row must be locked by `tx`. */
export async function publishDeviceRevoked(
  tx: Transaction,
  publish: AuthPublish,
  deviceId: string,
  version: bigint,
  nowMs: number,
): Promise<void> {
  await publish(tx, DeviceRevokedSchema, { deviceId, aggregateVersion: version, time: timestampFromMs(nowMs) });
}

/** Records ServiceWithdrawn. The secret's row must be locked by `tx`. */
export async function publishServiceWithdrawn(
  tx: Transaction,
  publish: AuthPublish,
  serviceName: string,
  version: bigint,
  nowMs: number,
): Promise<void> {
  await publish(tx, ServiceWithdrawnSchema, { serviceName, aggregateVersion: version, time: timestampFromMs(nowMs) });
}

/** Records EntryPassRevoked of a pass that would have ended at `expireMs`. The pass's row must be locked by `tx`. */
export async function publishEntryPassRevoked(
  tx: Transaction,
  publish: AuthPublish,
  entryPassId: string,
  version: bigint,
  nowMs: number,
  expireMs: number,
): Promise<void> {
  await publish(tx, EntryPassRevokedSchema, {
    entryPassId,
    aggregateVersion: version,
    time: timestampFromMs(nowMs),
    expireTime: timestampFromMs(expireMs),
  });
}

/** Records that auth has erased what it held of a person. `version` is that of the event that asked for it. */
export async function publishUserDataErased(
  tx: Transaction,
  publish: AuthPublish,
  userId: string,
  version: bigint,
  nowMs: number,
): Promise<void> {
  await publish(tx, UserDataErasedSchema, {
    userId,
    service: "auth",
    aggregateVersion: version,
    time: timestampFromMs(nowMs),
  });
}

/** What FaceEnrolmentRecorded tells of an enrolment. */
export interface RecordedEnrolment {
  readonly enrolmentId: string;
  readonly userId: string;
  /** Model that made the vector; empty when only the erasure is known. */
  readonly modelId: string;
  /** Version of the text that the person agreed to, and when they did. */
  readonly consentTextVersion: string;
  readonly consentTimeMs: number | undefined;
  /** When the face was erased; `undefined` while it is enrolled. */
  readonly eraseTimeMs: number | undefined;
}

/** Records FaceEnrolmentRecorded. The enrolment's row must be locked by `tx`. */
export async function publishFaceEnrolmentRecorded(
  tx: Transaction,
  publish: AuthPublish,
  enrolment: RecordedEnrolment,
  version: bigint,
  nowMs: number,
): Promise<void> {
  const { enrolmentId, userId, modelId, consentTextVersion, consentTimeMs, eraseTimeMs } = enrolment;
  await publish(tx, FaceEnrolmentRecordedSchema, {
    enrolmentId,
    memberId: userId,
    modelId,
    consent: {
      textVersion: consentTextVersion,
      ...(consentTimeMs === undefined ? {} : { time: timestampFromMs(consentTimeMs) }),
    },
    erased: eraseTimeMs !== undefined,
    aggregateVersion: version,
    time: timestampFromMs(nowMs),
  });
}
