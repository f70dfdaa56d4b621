import { MuinError } from "../../platform/errors/muin-error.ts";
import { assertNever } from "../../platform/errors/assert-never.ts";
import { countDeleted, countNotFound } from "../shared/errors.ts";
import type { RefusedWrite } from "./write-batch.ts";

/** When to try again after an overload, in milliseconds: by then a full queue has been worked off. */
const overloadRetryMs = 250;
/** When to try again while too many request ids are remembered, in milliseconds. */
const requestIdsRetryMs = 1000;

/** The queue is full: nothing was applied. */
export function overloaded(): MuinError {
  return new MuinError({
    code: "resource_exhausted",
    reason: "OVERLOADED",
    message: "too many writes are waiting; try again later",
    retryAfterMs: overloadRetryMs,
  });
}

/** The write was sent, and no answer came in time: it may or may not have been applied. */
export function outcomeUnknown(): MuinError {
  return new MuinError({
    code: "unavailable",
    reason: "OUTCOME_UNKNOWN",
    message: "the write was sent, but its outcome could not be learned in time; repeat it with the same request_id",
  });
}

/** The service is stopping: nothing was applied. */
export function shuttingDown(): MuinError {
  return new MuinError({
    code: "unavailable",
    reason: "SHUTTING_DOWN",
    message: "this instance is shutting down; try again",
    retryAfterMs: overloadRetryMs,
  });
}

/** Why a write of a batch was refused; it changed nothing. */
export function refusedWrite(countId: string, refused: RefusedWrite): MuinError {
  const metadata = { count_id: countId };
  switch (refused.outcome) {
    case "not_found":
      return countNotFound(countId);
    case "deleted":
      return countDeleted(countId);
    case "out_of_range":
      return new MuinError({
        code: "out_of_range",
        reason: "VALUE_OUT_OF_RANGE",
        message: `the Count "${countId}" is ${refused.value} and would pass its bound ${refused.bound}`,
        metadata: { ...metadata, value: refused.value.toString(), bound: refused.bound.toString() },
      });
    case "request_id_reused":
      return new MuinError({
        code: "invalid_argument",
        reason: "REQUEST_ID_REUSED",
        message: "this request_id was used for a different write of the same Count",
        metadata,
        violations: [{ field: "request_id", description: "was used for a different write; choose a new one" }],
      });
    case "request_ids_full":
      return new MuinError({
        code: "resource_exhausted",
        reason: "REQUEST_IDS_FULL",
        message: "as many request ids are remembered as may be; try again later",
        metadata,
        retryAfterMs: requestIdsRetryMs,
      });
    default:
      return assertNever(refused);
  }
}

/** Ids named in an error's metadata; of more, the first ones. */
const namedMax = 50;

/** Counts that would refuse an import's batch: nothing of it was applied. */
export function refusedCounts(why: "not_found" | "deleted" | "out_of_range", countIds: readonly string[]): MuinError {
  const named = countIds.slice(0, namedMax).join(",");
  const single = refusedWrite(named, why === "out_of_range" ? { outcome: why, value: 0, bound: 0 } : { outcome: why });
  return new MuinError({
    code: single.code,
    reason: single.reason,
    message: `${countIds.length} of the batch's Counts ${refusals[why]}: ${named}`,
    metadata: { count_ids: named, count: countIds.length.toString() },
  });
}

const refusals = {
  not_found: "do not exist",
  deleted: "are deleted",
  out_of_range: "would pass their bounds",
} as const;

/** The caller has no such import. */
export function importNotFound(importId: string): MuinError {
  return new MuinError({
    code: "not_found",
    reason: "IMPORT_NOT_FOUND",
    message: `there is no import "${importId}" of this caller`,
  });
}

/** A batch is not the next one after `sequence`, the last that was applied. */
export function importOutOfSequence(sequence: number): MuinError {
  return new MuinError({
    code: "aborted",
    reason: "IMPORT_SEQUENCE",
    message: `the last batch applied has the sequence ${sequence}; start the import again to go on from there`,
    metadata: { sequence: sequence.toString() },
  });
}

/** A batch ends before the offset that was reached. */
export function importOffsetBehind(offsetEnd: number, offset: number): MuinError {
  return new MuinError({
    code: "invalid_argument",
    reason: "IMPORT_OFFSET",
    message: `offset_end ${offsetEnd} lies before the offset ${offset} that was reached`,
    violations: [{ field: "offset_end", description: `must be ${offset} or more` }],
  });
}

/** An import of this name was begun otherwise. */
export function importMismatch(reason: "IMPORT_OPTIONS" | "IMPORT_PREFIX"): MuinError {
  const how = reason === "IMPORT_OPTIONS" ? "with other options" : "with a file that began otherwise";
  return new MuinError({
    code: "failed_precondition",
    reason,
    message: `the import of this import_id was begun ${how}; choose another id, or restart it`,
  });
}

/** An import has as many assignments as it may have. */
export function importAssignmentsFull(): MuinError {
  return new MuinError({
    code: "resource_exhausted",
    reason: "IMPORT_ASSIGNMENTS_FULL",
    message: "the import has as many different values as it may have",
  });
}

/** A caller has as many imports as they may have. */
export function importsFull(): MuinError {
  return new MuinError({
    code: "resource_exhausted",
    reason: "IMPORTS_FULL",
    message: "there are as many imports with these options as there may be; name the import by an import_id",
  });
}
