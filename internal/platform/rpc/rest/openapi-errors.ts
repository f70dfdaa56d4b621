import type { JsonObject } from "@bufbuild/protobuf";
import type { ErrorRow, ErrorTable } from "../../errors/define-errors.ts";
import { storeErrors } from "../../errors/store-errors.ts";
import { identityErrors } from "../../identity/errors.ts";
import { resourceErrors } from "../../resource/errors.ts";
import { callErrors } from "../call/errors.ts";
import type { MethodPlan } from "../call/plan.ts";

/** What any operation may answer with, beside the errors of its service. */
const platformTables: readonly ErrorTable[] = [
  callErrors.table,
  identityErrors.table,
  resourceErrors.table,
  storeErrors.table,
];

const platformReason = "PlatformReason";

/** The error responses of an operation, by reference. Whatever the status, an error has one form. */
export function errorsOf({ owner, errors }: Pick<MethodPlan, "owner" | "errors">): JsonObject {
  const reference = { $ref: `#/components/responses/${errors === undefined ? "Error" : `${owner}.Error`}` };
  return { "4XX": reference, "5XX": reference };
}

/** The error responses that operations refer to, and their schemas: each names the closed set of reasons of the service it is of. */
export function describeErrors(plans: readonly Pick<MethodPlan, "owner" | "errors">[]): {
  readonly schemas: Record<string, JsonObject>;
  readonly responses: Record<string, JsonObject>;
} {
  const schemas: Record<string, JsonObject> = { [platformReason]: reasonsOf(platformTables.flatMap(rowsOf)) };
  const responses: Record<string, JsonObject> = {};
  const add = (name: string, reasons: readonly string[]): void => {
    schemas[name] = errorSchema(reasons);
    responses[name] = responseOf(name);
  };
  for (const { owner, errors } of plans) {
    if (errors === undefined) {
      add("Error", [platformReason]);
    } else {
      schemas[`${owner}.Reason`] = reasonsOf(rowsOf(errors));
      add(`${owner}.Error`, [platformReason, `${owner}.Reason`]);
    }
  }
  return { schemas, responses };
}

function rowsOf(table: ErrorTable): readonly ErrorRow[] {
  return Object.values(table);
}

/** The reasons as an enum. Its description says what each means: several texts, where one reason has several causes. */
function reasonsOf(rows: readonly ErrorRow[]): JsonObject {
  const byReason = Map.groupBy(rows, ({ reason }) => reason);
  const lines = [...byReason].map(([reason, same]) => {
    const texts = [...new Set(same.map(({ text }) => text))];
    return `- ${reason} (${same[0]!.code.toUpperCase()}): ${texts.join("; or ")}`;
  });
  return {
    type: "string",
    description: ["Why a call failed.", ...lines].join("\n"),
    enum: [...byReason.keys()],
  };
}

function responseOf(schema: string): JsonObject {
  return {
    description: "The call failed: a code, a message and details, of which google.rpc.ErrorInfo names the reason.",
    content: { "application/json": { schema: { $ref: `#/components/schemas/${schema}` } } },
  };
}

function errorSchema(reasons: readonly string[]): JsonObject {
  const references = reasons.map((name) => ({ $ref: `#/components/schemas/${name}` }));
  return {
    type: "object",
    description: "Why a call failed, as google.rpc.Status in JSON.",
    required: ["error"],
    properties: {
      error: {
        type: "object",
        description: "The error.",
        required: ["code", "status", "message"],
        properties: {
          code: { type: "integer", description: "The HTTP status." },
          status: { type: "string", description: "The code's name, such as NOT_FOUND." },
          message: { type: "string" },
          details: {
            type: "array",
            items: {
              type: "object",
              properties: {
                "@type": { type: "string" },
                reason: references.length === 1 ? references[0]! : { anyOf: references },
              },
              additionalProperties: true,
            },
          },
        },
      },
    },
  };
}
