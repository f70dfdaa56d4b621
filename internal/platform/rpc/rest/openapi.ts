import type { DescMessage, JsonObject } from "@bufbuild/protobuf";
import { CallerKind } from "../../../gen/muin/platform/v1/options_pb.ts";
import { signatureHeader } from "../../identity/signed-call.ts";
import type { Comments } from "./comments.ts";
import { describeErrors, errorOf } from "./openapi-errors.ts";
import { nameOf, Schemas } from "./openapi-schemas.ts";
import { parsePathTemplate } from "./path-template.ts";
import { hasStringForm } from "./field-text.ts";
import type { RestRoute } from "./route.ts";

/** How deep a message is spread over query parameters. */
const queryDepthMax = 4;

/**
 * Describes the REST routes in OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0), policies as security, each operation's errors as a
 * closed set of reasons. `comments` is what the protos say of all that is described.
 */
export function describeRoutes(
  routes: readonly RestRoute[],
  { version, comments }: { readonly version: string; readonly comments: Comments },
): JsonObject {
  const schemas = new Schemas(comments);
  const paths: Record<string, Record<string, JsonObject>> = {};
  const operationIds = new Map<string, number>();
  for (const route of routes) {
    const { method } = route.plan;
    const base = `${method.parent.name}_${method.name}`;
    const nth = (operationIds.get(base) ?? 0) + 1;
    operationIds.set(base, nth);
    const { path, parameters } = pathOf(route, schemas);
    (paths[path] ??= {})[route.method.toLowerCase()] = {
      operationId: nth === 1 ? base : `${base}_${nth}`,
      ...operationOf(route, parameters, schemas),
    };
  }
  const errors = describeErrors(routes.map(({ plan }) => plan));
  return {
    openapi: "3.1.0",
    info: { title: "Muin", version, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    tags: [...new Set(routes.map(({ plan }) => plan.method.parent.typeName))].map((name) => ({
      name,
      description: comments[name] ?? name,
    })),
    paths,
    components: {
      schemas: { ...schemas.all(), ...errors.schemas },
      responses: errors.responses,
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

function operationOf(route: RestRoute, pathParameters: readonly JsonObject[], schemas: Schemas): JsonObject {
  const { method, policy, hasRequestId } = route.plan;
  const comment = schemas.described(`${method.parent.typeName}.${method.name}`);
  const body = bodyOf(route, schemas);
  const reply =
    route.responseField === undefined ? schemas.reference(method.output) : schemas.field(route.responseField);
  const isOpen = policy === undefined || policy.public;
  return {
    summary: summaryOf(comment.description) ?? `${method.parent.name}.${method.name}`,
    ...comment,
    tags: [method.parent.typeName],
    parameters: [
      ...pathParameters,
      ...queryOf(route, schemas),
      ...(hasRequestId ? [idempotencyKey] : []),
      ...(policy?.signed === true || policy?.callers.includes(CallerKind.DEVICE) === true
        ? [signature(policy.signed)]
        : []),
    ],
    ...(body === undefined
      ? {}
      : { requestBody: { required: false, content: { "application/json": { schema: body } } } }),
    responses: {
      "200": { description: "The reply.", content: { "application/json": { schema: reply } } },
      default: errorOf(route.plan),
    },
    security: isOpen ? [] : [{ bearer: [...policy.scopes] }],
    ...(isOpen ? {} : { "x-callers": policy.callers.map((kind) => callerNames[kind] ?? String(kind)) }),
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

/** The path with a parameter for each `*`: OpenAPI has none that spans segments. */
function pathOf(route: RestRoute, schemas: Schemas): { path: string; parameters: JsonObject[] } {
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
      ...(bound === undefined ? {} : schemas.described(nameOf(bound))),
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
          ...schemas.described(nameOf(field)),
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

/** The first sentence, without its full stop. */
function summaryOf(comment: string | undefined): string | undefined {
  return comment === undefined ? undefined : /^.*?(?=\.(\s|$)|$)/.exec(comment)?.[0];
}
