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

/** The error response of an operation, by reference. */
export function errorOf({ owner, errors }: Pick<MethodPlan, "owner" | "errors">): JsonObject {
  return { $ref: `#/components/responses/${errors === undefined ? "Error" : `${owner}.Error`}` };
}

/** The error responses that operations refer to, and their schemas: each names the closed set of reasons of the service it is of. */
export function describeErrors(plans: readonly Pick<MethodPlan, "owner" | "errors">[]): {
  readonly schemas: Record<string, JsonObject>;
  readonly responses: Record<string, JsonObject>;
} {
  const schemas: Record<string, JsonObject> = { [platformReason]: reasonsOf(platformTables.flatMap(rowsOf)) };
  const responses: Record<string, JsonObject> = { Error: responseOf([platformReason]) };
  for (const { owner, errors } of plans) {
    if (errors === undefined) continue;
    schemas[`${owner}.Reason`] = reasonsOf(rowsOf(errors));
    responses[`${owner}.Error`] = responseOf([platformReason, `${owner}.Reason`]);
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

function responseOf(reasons: readonly string[]): JsonObject {
  return {
    description: "The call failed: a code, a message and details, of which google.rpc.ErrorInfo names the reason.",
    content: { "application/json": { schema: errorSchema(reasons) } },
  };
}

function errorSchema(reasons: readonly string[]): JsonObject {
  const references = reasons.map((name) => ({ $ref: `#/components/schemas/${name}` }));
  return {
    type: "object",
    required: ["error"],
    properties: {
      error: {
        type: "object",
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
