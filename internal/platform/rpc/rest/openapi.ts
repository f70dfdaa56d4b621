import {
  getOption,
  hasOption,
  isFieldSet,
  ScalarType,
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonObject,
} from "@bufbuild/protobuf";
import { field as fieldOption, StringRulesSchema } from "../../../gen/buf/validate/validate_pb.ts";
import { comments } from "../../../gen/comments.ts";
import { CallerKind } from "../../../gen/muin/platform/v1/options_pb.ts";
import { signatureHeader } from "../../identity/signed-call.ts";
import { parsePathTemplate } from "./path-template.ts";
import type { RestRoute } from "./route.ts";
import { hasStringForm } from "./read-request.ts";

/** How deep a message is spread over query parameters. */
const queryDepthMax = 4;

/** Describes the REST routes in OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0), policies as security. */
export function describeRoutes(routes: readonly RestRoute[], version: string): JsonObject {
  const schemas = new Schemas();
  const paths: Record<string, Record<string, JsonObject>> = {};
  const operationIds = new Map<string, number>();
  for (const route of routes) {
    const { method, policy } = route.plan;
    const base = `${method.parent.name}_${method.name}`;
    const nth = (operationIds.get(base) ?? 0) + 1;
    operationIds.set(base, nth);
    const { path, parameters } = pathOf(route);
    const queryParameters = [...queryOf(route, schemas)];
    const body = bodyOf(route, schemas);
    const reply =
      route.responseField === undefined ? schemas.reference(method.output) : schemas.field(route.responseField);
    (paths[path] ??= {})[route.method.toLowerCase()] = {
      operationId: nth === 1 ? base : `${base}_${nth}`,
      summary:
        summaryOf(comments[`${method.parent.typeName}.${method.name}`]) ?? `${method.parent.name}.${method.name}`,
      ...described(`${method.parent.typeName}.${method.name}`),
      tags: [method.parent.typeName],
      parameters: [
        ...parameters,
        ...queryParameters,
        ...(route.plan.hasRequestId ? [idempotencyKey] : []),
        ...(policy?.signed === true || policy?.callers.includes(CallerKind.DEVICE) === true
          ? [signature(policy.signed)]
          : []),
      ],
      ...(body === undefined
        ? {}
        : { requestBody: { required: false, content: { "application/json": { schema: body } } } }),
      responses: {
        "200": { description: "The reply.", content: { "application/json": { schema: reply } } },
        default: { $ref: "#/components/responses/Error" },
      },
      security: policy === undefined || policy.public ? [] : [{ bearer: [...policy.scopes] }],
      ...(policy === undefined || policy.public
        ? {}
        : { "x-callers": policy.callers.map((kind) => callerNames[kind] ?? String(kind)) }),
    };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Muin", version, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    tags: [...new Set(routes.map(({ plan }) => plan.method.parent.typeName))].map((name) => ({
      name,
      description: comments[name] ?? name,
    })),
    paths,
    components: {
      schemas: { ...schemas.all(), Error: errorSchema },
      responses: {
        Error: {
          description:
            "The call failed: a code, a message and details, of which google.rpc.ErrorInfo names the reason.",
          content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
        },
      },
      securitySchemes: {
        bearer: {
          type: "http",
          scheme: "bearer",
          description: "An API key (muin_…), an access token or a device token.",
        },
      },
    },
  };
}

const callerNames: Readonly<Record<number, string>> = {
  [CallerKind.PERSON]: "person",
  [CallerKind.API_KEY]: "api_key",
  [CallerKind.DEVICE]: "device",
  [CallerKind.SERVICE]: "service",
};

const idempotencyKey: JsonObject = {
  name: "Idempotency-Key",
  in: "header",
  required: false,
  description: "The same as the field request_id.",
  schema: { type: "string" },
};

function signature(required: boolean): JsonObject {
  return {
    name: signatureHeader,
    in: "header",
    required,
    description:
      "v1,t=<time>,n=<nonce>,s=<signature>: the call signed with the device's Ed25519 key. A device signs every call; such a call has neither a query nor variables in its path.",
    schema: { type: "string" },
  };
}

const errorSchema: JsonObject = {
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
          items: { type: "object", properties: { "@type": { type: "string" } }, additionalProperties: true },
        },
      },
    },
  },
};

/** The path with a parameter for each `*`: OpenAPI has none that spans segments. */
function pathOf(route: RestRoute): { path: string; parameters: JsonObject[] } {
  const { segments, variables, verb } = parsePathTemplate(route.template);
  const parameters: JsonObject[] = [];
  const parts = segments.map((segment, index) => {
    if (segment.kind === "literal") return segment.text;
    const variable = variables.find(({ start, end }) => start <= index && index < end);
    const field = variable?.field.join(".") ?? `part${index}`;
    const name =
      variable === undefined || variable.end === variable.start + 1 ? field : `${field}.${index - variable.start}`;
    const bound = variable === undefined ? undefined : route.binding.variables[variables.indexOf(variable)]?.at(-1);
    parameters.push({
      name,
      in: "path",
      required: true,
      ...(bound === undefined ? {} : described(nameOf(bound))),
      schema: { type: "string" },
    });
    return `{${name}}`;
  });
  return { path: `/${parts.join("/")}${verb === "" ? "" : `:${verb}`}`, parameters };
}

function* queryOf(route: RestRoute, schemas: Schemas): Generator<JsonObject> {
  const { input, body, variables } = route.binding;
  if (body === "*") return;
  const bound = new Set(variables.map((fields) => fields.map(({ name }) => name).join(".")));
  function* spread(message: DescMessage, prefix: string, depth: number): Generator<JsonObject> {
    for (const field of message.fields) {
      const name = prefix + field.name;
      if (field === body || bound.has(name) || field.fieldKind === "map") continue;
      if (field.fieldKind === "list" && field.listKind === "message") continue;
      if (field.fieldKind === "message" && !hasStringForm(field.message)) {
        if (depth < queryDepthMax) yield* spread(field.message, `${name}.`, depth + 1);
      } else {
        yield {
          name,
          in: "query",
          required: false,
          ...described(nameOf(field)),
          schema: schemas.type(field),
        };
      }
    }
  }
  yield* spread(input, "", 1);
}

function bodyOf(route: RestRoute, schemas: Schemas): JsonObject | undefined {
  const { input, body, variables } = route.binding;
  if (body === undefined) return undefined;
  if (body !== "*") return schemas.field(body);
  const bound = new Set(variables.filter((fields) => fields.length === 1).map(([field]) => field));
  return schemas.object(input.fields.filter((field) => !bound.has(field)));
}

/** Collects the schemas of the messages and enums that are spoken of. */
class Schemas {
  readonly #schemas = new Map<string, JsonObject>();

  all(): Record<string, JsonObject> {
    return Object.fromEntries([...this.#schemas].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  reference(type: DescMessage | DescEnum): JsonObject {
    const wellKnown = wellKnownSchemas[type.typeName];
    if (wellKnown !== undefined) return wellKnown;
    if (!this.#schemas.has(type.typeName)) {
      this.#schemas.set(type.typeName, {}); // Taken before its fields are described: a message may contain itself.
      this.#schemas.set(
        type.typeName,
        type.kind === "enum" ? enumSchema(type) : { ...described(type.typeName), ...this.object(type.fields) },
      );
    }
    return { $ref: `#/components/schemas/${type.typeName}` };
  }

  object(fields: readonly DescField[]): JsonObject {
    return {
      type: "object",
      properties: Object.fromEntries(fields.map((field) => [field.jsonName, this.field(field)])),
    };
  }

  /** A field's type, with what the protos say of the field. */
  field(field: DescField): JsonObject {
    return { ...this.type(field), ...described(nameOf(field)) };
  }

  type(field: DescField): JsonObject {
    switch (field.fieldKind) {
      case "scalar":
        return { ...scalarSchema(field.scalar), ...stringRules(field) };
      case "enum":
        return this.reference(field.enum);
      case "message":
        return this.reference(field.message);
      case "list":
        if (field.listKind === "scalar") return { type: "array", items: scalarSchema(field.scalar) };
        return { type: "array", items: this.reference(field.listKind === "enum" ? field.enum : field.message) };
      case "map":
        return {
          type: "object",
          additionalProperties:
            field.mapKind === "scalar"
              ? scalarSchema(field.scalar)
              : this.reference(field.mapKind === "enum" ? field.enum : field.message),
        };
    }
  }
}

function nameOf(field: DescField): string {
  return `${field.parent.typeName}.${field.name}`;
}

function described(name: string): { description?: string } {
  const description = comments[name];
  return description === undefined ? {} : { description };
}

/** The first sentence, without its full stop. */
function summaryOf(comment: string | undefined): string | undefined {
  return comment === undefined ? undefined : /^.*?(?=\.(\s|$)|$)/.exec(comment)?.[0];
}

function enumSchema(type: DescEnum): JsonObject {
  const values = type.values.map(({ name }) => {
    const comment = comments[`${type.typeName}.${name}`];
    return comment === undefined ? name : `${name}: ${comment}`;
  });
  return {
    type: "string",
    description: [...Object.values(described(type.typeName)), ...values.map((value) => `- ${value}`)].join("\n"),
    enum: type.values.map(({ name }) => name),
  };
}

function stringRules(field: DescField): JsonObject {
  if (!hasOption(field, fieldOption)) return {};
  const { type } = getOption(field, fieldOption);
  if (type.case !== "string") return {};
  const rules = type.value;
  const set = StringRulesSchema.field;
  return {
    ...(isFieldSet(rules, set.minLen) ? { minLength: Number(rules.minLen) } : {}),
    ...(isFieldSet(rules, set.maxLen) ? { maxLength: Number(rules.maxLen) } : {}),
    ...(isFieldSet(rules, set.pattern) ? { pattern: rules.pattern } : {}),
  };
}

function scalarSchema(scalar: ScalarType): JsonObject {
  switch (scalar) {
    case ScalarType.BOOL:
      return { type: "boolean" };
    case ScalarType.STRING:
      return { type: "string" };
    case ScalarType.BYTES:
      return { type: "string", contentEncoding: "base64" };
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE:
      return { type: ["number", "string"] }; // "NaN", "Infinity"
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return { type: "integer", format: "int32" };
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return { type: "string", format: "int64" };
  }
}

/** Messages whose JSON is not that of their fields: https://protobuf.dev/programming-guides/json. */
const wellKnownSchemas: Readonly<Record<string, JsonObject>> = {
  "google.protobuf.Timestamp": { type: "string", format: "date-time" },
  "google.protobuf.Duration": { type: "string", pattern: "^-?[0-9]+(\\.[0-9]{1,9})?s$" },
  "google.protobuf.FieldMask": { type: "string" },
  "google.protobuf.Empty": { type: "object" },
  "google.protobuf.Struct": { type: "object", additionalProperties: true },
  "google.protobuf.Value": {},
  "google.protobuf.ListValue": { type: "array" },
  "google.protobuf.Any": {
    type: "object",
    required: ["@type"],
    properties: { "@type": { type: "string" } },
    additionalProperties: true,
  },
  "google.protobuf.BoolValue": { type: ["boolean", "null"] },
  "google.protobuf.StringValue": { type: ["string", "null"] },
  "google.protobuf.BytesValue": { type: ["string", "null"], contentEncoding: "base64" },
  "google.protobuf.Int32Value": { type: ["integer", "null"] },
  "google.protobuf.UInt32Value": { type: ["integer", "null"] },
  "google.protobuf.Int64Value": { type: ["string", "null"], format: "int64" },
  "google.protobuf.UInt64Value": { type: ["string", "null"], format: "int64" },
  "google.protobuf.FloatValue": { type: ["number", "string", "null"] },
  "google.protobuf.DoubleValue": { type: ["number", "string", "null"] },
};
