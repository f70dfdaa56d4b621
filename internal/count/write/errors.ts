import { assertNever } from "../../platform/errors/assert-never.ts";
import { defineErrors } from "../../platform/errors/define-errors.ts";
import type { MuinError } from "../../platform/errors/muin-error.ts";
import { countErrors } from "../shared/errors.ts";
import type { RefusedWrite } from "./write/batch.ts";

/** What count-write answers with. */
export const countWriteErrors = defineErrors({
  ...countErrors.table,
  /** The queue is full: nothing was applied. By the time to try again a full queue has been worked off. */
  overloaded: {
    reason: "OVERLOADED",
    code: "resource_exhausted",
    text: "too many writes are waiting; try again later",
    retryAfterMs: 250,
  },
  /** The write was sent, and no answer came in time: it may or may not have been applied. */
  outcomeUnknown: {
    reason: "OUTCOME_UNKNOWN",
    code: "unavailable",
    text: "the write was sent, but its outcome could not be learned in time; repeat it with the same request_id",
  },
  /** The instance is stopping: nothing was applied. */
  shuttingDown: {
    reason: "SHUTTING_DOWN",
    code: "unavailable",
    text: "this instance is shutting down; try again",
    retryAfterMs: 250,
  },
  valueOutOfRange: {
    reason: "VALUE_OUT_OF_RANGE",
    code: "out_of_range",
    text: 'the Count "{count_id}" is {value} and would pass its bound {bound}',
  },
  requestIdReused: {
    reason: "REQUEST_ID_REUSED",
    code: "invalid_argument",
    text: "this request_id was used for a different write of the same Count",
  },
  /** As many request ids are remembered on the shard as may be; older ones are forgotten meanwhile. */
  requestIdsFull: {
    reason: "REQUEST_IDS_FULL",
    code: "resource_exhausted",
    text: "as many request ids are remembered as may be; try again later",
    retryAfterMs: 1000,
  },
  /** The caller's share of the request ids that the shard remembers is used up; older ones are forgotten meanwhile. */
  requestIdsOfCallerFull: {
    reason: "REQUEST_IDS_OF_CALLER_FULL",
    code: "resource_exhausted",
    text: "as many of your request ids are remembered as one caller may have; try again later",
    retryAfterMs: 1000,
  },
  countsNotFound: {
    reason: "COUNT_NOT_FOUND",
    code: "not_found",
    text: "{count} of the batch's Counts do not exist: {count_ids}",
  },
  countsDeleted: {
    reason: "COUNT_DELETED",
    code: "failed_precondition",
    text: "{count} of the batch's Counts are deleted: {count_ids}",
  },
  countsOutOfRange: {
    reason: "VALUE_OUT_OF_RANGE",
    code: "out_of_range",
    text: "{count} of the batch's Counts would pass their bounds: {count_ids}",
  },
  importNotFound: {
    reason: "IMPORT_NOT_FOUND",
    code: "not_found",
    text: 'there is no import "{import_id}" of this caller',
  },
  /** A batch is not the next one after `sequence`, the last that was applied. */
  importOutOfSequence: {
    reason: "IMPORT_SEQUENCE",
    code: "aborted",
    text: "the last batch applied has the sequence {sequence}; start the import again to go on from there",
  },
  importOffsetBehind: {
    reason: "IMPORT_OFFSET",
    code: "invalid_argument",
    text: "offset_end {offset_end} lies before the offset {offset} that was reached",
  },
  importOptionsDiffer: {
    reason: "IMPORT_OPTIONS",
    code: "failed_precondition",
    text: "the import of this import_id was begun with other options; choose another id, or restart it",
  },
  importPrefixDiffers: {
    reason: "IMPORT_PREFIX",
    code: "failed_precondition",
    text: "the import of this import_id was begun with a file that began otherwise; choose another id, or restart it",
  },
  importAssignmentsFull: {
    reason: "IMPORT_ASSIGNMENTS_FULL",
    code: "resource_exhausted",
    text: "the import has as many different values as it may have",
  },
  importsOfCallerBusy: {
    reason: "IMPORTS_OF_CALLER_BUSY",
    code: "resource_exhausted",
    text: "as many of your imports are worked on as one caller's may be at once: try again shortly",
    retryAfterMs: 250,
  },
  importsOfCallerFull: {
    reason: "IMPORTS_OF_CALLER_FULL",
    code: "resource_exhausted",
    text: "you have as many imports as one caller may have, and each is kept for ever: use another API key",
  },
  importsFull: {
    reason: "IMPORTS_FULL",
    code: "resource_exhausted",
    text: "there are as many imports with these options as there may be; name the import by an import_id",
  },
});

/** The row of a refused write. */
const refusedRows = {
  not_found: "countNotFound",
  deleted: "countDeleted",
  out_of_range: "valueOutOfRange",
  request_id_reused: "requestIdReused",
  request_ids_full: "requestIdsFull",
  request_ids_of_caller_full: "requestIdsOfCallerFull",
} as const satisfies Record<RefusedWrite["outcome"], keyof typeof countWriteErrors.table>;

/** The reason of a refused write, without the cost of an error. */
export function reasonOf({ outcome }: Pick<RefusedWrite, "outcome">): string {
  return countWriteErrors.table[refusedRows[outcome]].reason;
}

/** Why a write of a batch was refused; it changed nothing. */
export function refusedWrite(countId: string, refused: RefusedWrite): MuinError {
  const metadata = { count_id: countId };
  switch (refused.outcome) {
    case "not_found":
      return countWriteErrors.countNotFound(metadata);
    case "deleted":
      return countWriteErrors.countDeleted(metadata);
    case "out_of_range":
      return countWriteErrors.valueOutOfRange({
        ...metadata,
        value: refused.value.toString(),
        bound: refused.bound.toString(),
      });
    case "request_id_reused":
      return countWriteErrors.requestIdReused({
        metadata,
        violations: [{ field: "request_id", description: "was used for a different write; choose a new one" }],
      });
    case "request_ids_full":
      return countWriteErrors.requestIdsFull({ metadata });
    case "request_ids_of_caller_full":
      return countWriteErrors.requestIdsOfCallerFull({ metadata });
    default:
      return assertNever(refused);
  }
}

/** Ids named in an error's metadata; of more, the first ones. */
const namedMax = 50;

/** Counts that would refuse an import's batch: nothing of it was applied. */
export function refusedCounts(why: "not_found" | "deleted" | "out_of_range", countIds: readonly string[]): MuinError {
  const facts = { count: countIds.length.toString(), count_ids: countIds.slice(0, namedMax).join(",") };
  switch (why) {
    case "not_found":
      return countWriteErrors.countsNotFound(facts);
    case "deleted":
      return countWriteErrors.countsDeleted(facts);
    case "out_of_range":
      return countWriteErrors.countsOutOfRange(facts);
    default:
      return assertNever(why);
  }
}
