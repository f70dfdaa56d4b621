import type { EventVersion } from "../../../platform/service/event-version.ts";
import type { Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { RecordedEnrolment } from "../events.ts";

/** That a person is, or was, enrolled, with which model and which consent. Never a vector. */
export interface Enrolment extends RecordedEnrolment {
  readonly branchIds: readonly string[];
  readonly enrolTimeMs: number | undefined;
  /** Epoch and `aggregate_version` of the event that the record comes from. */
  readonly version: EventVersion;
}

/** Records of enrolments. An erased one stays, so that an older event is known as such. */
export interface EnrolmentStore {
  /** Keeps what an event told of an enrolment that is not erased. `undefined`, without effect, unless it is newer than the record. */
  putEnrolled(tx: Transaction, enrolment: Omit<Enrolment, "eraseTimeMs">): Promise<Enrolment | undefined>;
  /** Keeps that an enrolment was erased; one that was not known has no model. `undefined`, without effect, unless it is newer. */
  putErased(
    tx: Transaction,
    enrolment: {
      readonly enrolmentId: string;
      readonly userId: string;
      readonly eraseTimeMs: number;
      readonly version: EventVersion;
    },
  ): Promise<Enrolment | undefined>;
  /** A person's enrolments after the id `after` (empty: from the first), erased ones included, in the order of their ids. */
  list(on: Sql, userId: string, after: string, limit: number): Promise<readonly Enrolment[]>;
}
