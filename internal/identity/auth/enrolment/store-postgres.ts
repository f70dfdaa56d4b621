import type { Enrolment, EnrolmentStore } from "./store.ts";

/** Records of enrolments in PostgreSQL. */
export const postgresEnrolmentStore: EnrolmentStore = {
  putEnrolled: async (tx, enrolment) => {
    const { enrolmentId, userId, branchIds, modelId, consentTextVersion, consentTimeMs, enrolTimeMs, version } =
      enrolment;
    const [row] = await tx<Row[]>`
      INSERT INTO enrolments AS e
        (enrolment_id, user_id, branch_ids, model_id, consent_text_version, consent_time, enrol_time, epoch, version)
      VALUES (${enrolmentId}, ${userId}, ${[...branchIds]}::text[], ${modelId}, ${consentTextVersion},
        ${dateOrNull(consentTimeMs)}, ${dateOrNull(enrolTimeMs)}, ${version.epoch}, ${version.version.toString()})
      ON CONFLICT (enrolment_id) DO UPDATE SET user_id = excluded.user_id, branch_ids = excluded.branch_ids,
        model_id = excluded.model_id, consent_text_version = excluded.consent_text_version,
        consent_time = excluded.consent_time, enrol_time = excluded.enrol_time, erase_time = NULL,
        epoch = excluded.epoch, version = excluded.version
      WHERE (e.epoch, e.version) < (excluded.epoch, excluded.version) RETURNING *`;
    return row && enrolmentOf(row);
  },

  putErased: async (tx, { enrolmentId, userId, eraseTimeMs, version }) => {
    const [row] = await tx<Row[]>`
      INSERT INTO enrolments AS e
        (enrolment_id, user_id, branch_ids, model_id, consent_text_version, erase_time, epoch, version)
      VALUES (${enrolmentId}, ${userId}, '{}', '', '', ${new Date(eraseTimeMs)}, ${version.epoch}, ${version.version.toString()})
      ON CONFLICT (enrolment_id) DO UPDATE
        SET erase_time = excluded.erase_time, epoch = excluded.epoch, version = excluded.version
      WHERE (e.epoch, e.version) < (excluded.epoch, excluded.version) RETURNING *`;
    return row && enrolmentOf(row);
  },

  list: async (on, userId, after, limit) => {
    const rows = await on<Row[]>`
      SELECT * FROM enrolments WHERE user_id = ${userId} AND enrolment_id > ${after}
      ORDER BY enrolment_id LIMIT ${limit}`;
    return rows.map(enrolmentOf);
  },
};

interface Row {
  readonly enrolment_id: string;
  readonly user_id: string;
  readonly branch_ids: string[];
  readonly model_id: string;
  readonly consent_text_version: string;
  readonly consent_time: Date | null;
  readonly enrol_time: Date | null;
  readonly erase_time: Date | null;
  readonly epoch: string;
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
    version: { epoch: Number(row.epoch), version: BigInt(row.version) },
  };
}

function dateOrNull(ms: number | undefined): Date | null {
  return ms === undefined ? null : new Date(ms);
}
