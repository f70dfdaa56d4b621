import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { FaceVectorCreated, FaceVectorErased } from "../../../gen/muin/face/v1/enrolment_events_pb.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { publishFaceEnrolmentRecorded, type AuthPublish, type RecordedEnrolment } from "../events.ts";
import { isUuid } from "../request.ts";

/** That a person is, or was, enrolled. Never a vector. */
export interface Enrolment extends RecordedEnrolment {
  readonly branchIds: readonly string[];
  readonly enrolTimeMs: number | undefined;
}

/** Who is enrolled, as mlops tells. An event that is not newer than the record changes nothing; nor does one of an erased person. */
export interface Enrolments {
  /** Records a face that was enrolled or replaced, and that it is recorded. */
  created(event: FaceVectorCreated, delivery: Delivery): Promise<void>;
  /** Records that a face was erased. */
  erased(event: FaceVectorErased, delivery: Delivery): Promise<void>;
  /** Of one person, in the order of their ids, those after `afterId`. Erased ones too. */
  list(userId: string, pageSize: number, afterId: string): Promise<readonly Enrolment[]>;
}

/** Makes the rules. */
export function createEnrolments(deps: {
  readonly database: Database;
  readonly publish: AuthPublish;
  readonly clock: Clock;
}): Enrolments {
  const { database, publish, clock } = deps;
  const told = (tx: Transaction, row: Row): Promise<void> =>
    publishFaceEnrolmentRecorded(tx, publish, enrolmentOf(row), BigInt(row.version), clock.now());

  return {
    created: async (event, delivery) => {
      const { enrolmentId, memberId, branchIds, modelId, consent } = event;
      await delivery.once(database, async (tx) => {
        if (!(await hasAccount(tx, memberId))) return;
        const [row] = await tx<Row[]>`
          INSERT INTO enrolments AS e
            (enrolment_id, user_id, branch_ids, model_id, consent_text_version, consent_time, enrol_time, version)
          VALUES (${enrolmentId}, ${memberId}, ${branchIds}::text[], ${modelId}, ${consent?.textVersion ?? ""},
            ${dateOf(consent?.time)}, ${dateOf(event.time)}, ${event.aggregateVersion.toString()})
          ON CONFLICT (enrolment_id) DO UPDATE SET user_id = excluded.user_id, branch_ids = excluded.branch_ids,
            model_id = excluded.model_id, consent_text_version = excluded.consent_text_version,
            consent_time = excluded.consent_time, enrol_time = excluded.enrol_time, erase_time = NULL,
            version = excluded.version
          WHERE e.version < excluded.version RETURNING *`;
        if (row !== undefined) await told(tx, row);
      });
    },
    erased: async ({ enrolmentId, memberId, aggregateVersion, time }, delivery) => {
      await delivery.once(database, async (tx) => {
        if (!(await hasAccount(tx, memberId))) return;
        const eraseTime = dateOf(time) ?? new Date(clock.now());
        const [row] = await tx<Row[]>`
          INSERT INTO enrolments AS e
            (enrolment_id, user_id, branch_ids, model_id, consent_text_version, erase_time, version)
          VALUES (${enrolmentId}, ${memberId}, '{}', '', '', ${eraseTime}, ${aggregateVersion.toString()})
          ON CONFLICT (enrolment_id) DO UPDATE SET erase_time = excluded.erase_time, version = excluded.version
          WHERE e.version < excluded.version RETURNING *`;
        if (row !== undefined) await told(tx, row);
      });
    },
    list: async (userId, pageSize, afterId) => {
      if (!isUuid(userId)) return [];
      const rows = await database.sql<Row[]>`
        SELECT * FROM enrolments WHERE user_id = ${userId} AND enrolment_id > ${afterId}
        ORDER BY enrolment_id LIMIT ${pageSize}`;
      return rows.map(enrolmentOf);
    },
  };
}

/** Holds the account, so that it is not erased meanwhile. */
async function hasAccount(tx: Transaction, userId: string): Promise<boolean> {
  return isUuid(userId) && (await tx`SELECT 1 FROM accounts WHERE user_id = ${userId} FOR SHARE`).length > 0;
}

interface Row {
  readonly enrolment_id: string;
  readonly user_id: string;
  readonly branch_ids: string[];
  readonly model_id: string;
  readonly consent_text_version: string;
  readonly consent_time: Date | null;
  readonly enrol_time: Date | null;
  readonly erase_time: Date | null;
  readonly version: string;
}

function enrolmentOf(row: Row): Enrolment {
  return {
    enrolmentId: row.enrolment_id,
    userId: row.user_id,
    branchIds: row.branch_ids,
    modelId: row.model_id,
    consentTextVersion: row.consent_text_version,
    consentTimeMs: row.consent_time?.getTime(),
    enrolTimeMs: row.enrol_time?.getTime(),
    eraseTimeMs: row.erase_time?.getTime(),
  };
}

function dateOf(time: Parameters<typeof timestampMs>[0] | undefined): Date | null {
  return time === undefined ? null : new Date(timestampMs(time));
}
