import type { CountInfo } from "../../../gen/muin/count/v1/count_pb.ts";
import { assertNever } from "../../../platform/errors/assert-never.ts";
import type { FieldViolation } from "../../../platform/errors/muin-error.ts";
import { fieldsInvalid } from "../../../platform/resource/errors.ts";
import { etagOf, isCurrent } from "../../../platform/resource/etag.ts";
import { countManagementErrors } from "../errors.ts";
import type { CountContent, CountRecord, CountStateName } from "./record.ts";
import type { NewCount } from "./store.ts";

/** Values, deltas and bounds lie within +-valueMax. */
const valueMax = BigInt(Number.MAX_SAFE_INTEGER);

/** Whether a text is the id of a Count. */
function isCountId(text: string): boolean {
  return /^[a-z0-9][a-z0-9._-]{0,127}$/.test(text);
}

/** What a caller wants done with a Count that there is. `etag` is empty for "whatever it is". */
export type Mutation =
  | {
      readonly operation: "UPDATE";
      readonly countId: string;
      readonly etag: string;
      readonly patch: Partial<CountContent>;
    }
  | { readonly operation: "DELETE"; readonly countId: string; readonly etag: string }
  | { readonly operation: "UNDELETE"; readonly countId: string; readonly etag: string };

/** The content of a request's CountInfo; its output-only fields are ignored. */
export function contentOf(info: CountInfo): CountContent {
  return {
    displayName: info.displayName,
    labels: { ...info.labels },
    minValue: info.minValue,
    maxValue: info.maxValue,
  };
}

/** A creation that follows the rules. Throws INVALID_ARGUMENT, or OUT_OF_RANGE (reason VALUE_OUT_OF_RANGE) for an initial value outside the bounds. */
export function planCreation(
  countId: string,
  info: CountInfo | undefined,
  initialValue: bigint | undefined,
): Pick<NewCount, "countId" | "content" | "initialValue"> {
  if (info !== undefined && info.countId !== "" && info.countId !== countId) {
    throw fieldsInvalid([{ field: "count_info.count_id", description: "must be empty or the same as count_id" }]);
  }
  const content: CountContent =
    info === undefined ? { displayName: "", labels: {}, minValue: undefined, maxValue: undefined } : contentOf(info);
  checkContent(content);
  const min = content.minValue ?? -valueMax;
  const max = content.maxValue ?? valueMax;
  const value = initialValue ?? (min > 0n ? min : max < 0n ? max : 0n);
  if (value < min || value > max) {
    throw countManagementErrors.initialValueOutOfRange({
      count_id: countId,
      value: value.toString(),
      min_value: min.toString(),
      max_value: max.toString(),
    });
  }
  return { countId, content, initialValue: value };
}

const updatePaths = {
  display_name: "displayName",
  labels: "labels",
  min_value: "minValue",
  max_value: "maxValue",
} as const satisfies Record<string, keyof CountContent>;

/** An update that follows the rules (AIP-134). Without a mask, the fields that are set; "*" is all of them. */
export function planUpdate(
  info: CountInfo,
  maskPaths: readonly string[] | undefined,
): Extract<Mutation, { operation: "UPDATE" }> {
  if (!isCountId(info.countId)) {
    throw fieldsInvalid([
      {
        field: "count_info.count_id",
        description: "must have 1 to 128 characters of a-z 0-9 . _ -, beginning with a letter or digit",
      },
    ]);
  }
  const content = contentOf(info);
  checkContent(content);
  const paths = maskPaths ?? [];
  const allowed = Object.keys(updatePaths).join(", ");
  const unknown = paths.filter((path) => path !== "*" && !Object.hasOwn(updatePaths, path));
  if (unknown.length > 0 || (paths.includes("*") && paths.length > 1)) {
    throw fieldsInvalid([
      {
        field: "update_mask",
        description:
          unknown.length > 0
            ? `${unknown.map((path) => `"${path}"`).join(", ")} cannot be updated; use ${allowed} (in JSON in lowerCamelCase), or "*" for all of them`
            : `"*" stands alone; use it, or some of ${allowed}`,
      },
    ]);
  }
  const fields = Object.entries(updatePaths)
    .filter(([path, field]) => (paths.length === 0 ? isSet(content[field]) : paths[0] === "*" || paths.includes(path)))
    .map(([, field]) => field);
  return {
    operation: "UPDATE",
    countId: info.countId,
    etag: info.etag,
    patch: Object.fromEntries(fields.map((field) => [field, content[field]])),
  };
}

/**
 * The labels of a filter whose items are written "key=value", sorted, each once. Throws INVALID_ARGUMENT for what no label can
 * be.
 */
export function labelFilterOf(items: readonly string[]): readonly (readonly [key: string, value: string])[] {
  return [...new Set(items)].toSorted().map((item) => {
    const end = item.indexOf("=");
    const value = item.slice(end + 1);
    if (end < 1 || !isPlainText(value)) {
      throw fieldsInvalid([
        { field: "labels", description: 'each is written "key=value", without control characters' },
      ]);
    }
    return [item.slice(0, end), value];
  });
}

/** A mutation that is allowed now: the content that the Count will have, and the state that it has until then. */
export interface Plan {
  readonly content: CountContent;
  readonly stateMeanwhile: CountStateName;
}

/** A mutation that is allowed, and would leave the Count as it is. */
export interface Unchanged {
  readonly unchanged: CountRecord;
}

/** Why a mutation is not allowed on what there is. */
export type PlanRefusal =
  | { readonly refused: "COUNT_NOT_FOUND" | "COUNT_DELETED" | "COUNT_NOT_DELETED" | "ETAG_MISMATCH" }
  /** One bound came with the update, the other stood there before, and they contradict each other. */
  | { readonly refused: "FIELD_INVALID"; readonly violation: FieldViolation };

/** Whether a mutation is allowed on what there is (`undefined`: nothing), and what it comes to. */
export function planOf(record: CountRecord | undefined, mutation: Mutation): Plan | Unchanged | PlanRefusal {
  if (record === undefined || record.state === "PENDING") return { refused: "COUNT_NOT_FOUND" };
  const isDeleted = record.state === "DELETED";
  if (mutation.operation === "UNDELETE" && !isDeleted) return { refused: "COUNT_NOT_DELETED" };
  if (mutation.operation !== "UNDELETE" && isDeleted) return { refused: "COUNT_DELETED" };
  if (!isCurrent(mutation.etag, etagOf(record.version))) return { refused: "ETAG_MISMATCH" };
  switch (mutation.operation) {
    case "UPDATE": {
      const content = { ...pickContent(record), ...mutation.patch };
      const disorder = boundsDisorder(content);
      if (disorder !== undefined) return { refused: "FIELD_INVALID", violation: disorder };
      return Bun.deepEquals(content, pickContent(record))
        ? { unchanged: record }
        : { content, stateMeanwhile: "ACTIVE" };
    }
    case "DELETE":
      return { content: pickContent(record), stateMeanwhile: "DELETING" };
    case "UNDELETE":
      return { content: pickContent(record), stateMeanwhile: "DELETED" };
    default:
      return assertNever(mutation);
  }
}

function pickContent({ displayName, labels, minValue, maxValue }: CountContent): CountContent {
  return { displayName, labels, minValue, maxValue };
}

function isSet(value: CountContent[keyof CountContent]): boolean {
  return typeof value === "object" ? Object.keys(value).length > 0 : value !== undefined && value !== "";
}

function checkContent(content: CountContent): void {
  const violations: FieldViolation[] = [];
  if (!isPlainText(content.displayName)) {
    violations.push({ field: "count_info.display_name", description: "must not hold control characters" });
  }
  for (const [key, value] of Object.entries(content.labels)) {
    if (!isPlainText(value)) {
      violations.push({ field: `count_info.labels["${key}"]`, description: "must not hold control characters" });
    }
  }
  const disorder = boundsDisorder(content);
  if (disorder !== undefined) violations.push(disorder);
  if (violations.length > 0) throw fieldsInvalid(violations);
}

function boundsDisorder({ minValue, maxValue }: CountContent): FieldViolation | undefined {
  if (minValue === undefined || maxValue === undefined || minValue <= maxValue) return undefined;
  return { field: "count_info.min_value", description: `must not be above max_value: ${minValue} > ${maxValue}` };
}

/** Text that every terminal takes. */
function isPlainText(text: string): boolean {
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  return !/[\u0000-\u001f\u007f]/.test(text);
}
