import type { DescField, DescMessage, JsonObject } from "@bufbuild/protobuf";
import { CallerKind } from "../../../gen/muin/platform/v1/options_pb.ts";
import { signatureHeader } from "../../identity/signed-call.ts";
import { fieldNamed } from "./binding.ts";
import type { Comments } from "./comments.ts";
import { describeErrors, errorsOf } from "./openapi-errors.ts";
import { isRequired } from "./openapi-rules.ts";
import { nameOf, Schemas } from "./openapi-schemas.ts";
import { parsePathTemplate } from "./path-template.ts";
import { hasStringForm } from "./field-text.ts";
import type { RestRoute } from "./route.ts";

/** How deep a message is spread over query parameters. */
const queryDepthMax = 4;

/** The version of the API, as its paths and packages name it: which build serves it is for operators alone. */
const apiVersion = "v1";

/**
 * Describes the REST routes in OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.0), the rules of the protos as constraints, policies as
 * security, each operation's errors as a closed set of reasons. `comments` is what the protos say of all that is described.
 */
export function describeRoutes(
  routes: readonly RestRoute[],
  { comments }: { readonly comments: Comments },
): JsonObject {
  const schemas = new Schemas(comments);
  const items = new Map<string, PathItem>();
  const operationIds = new Map<string, number>();
  for (const route of routes) {
    const { method } = route.plan;
    const base = `${method.parent.name}_${method.name}`;
    const nth = (operationIds.get(base) ?? 0) + 1;
    operationIds.set(base, nth);
    const item = pathItemOf(route, items);
    item.operations[route.method.toLowerCase()] = {
      operationId: nth === 1 ? base : `${base}_${nth}`,
      ...operationOf(route, pathParameters(route, item.names, schemas), schemas),
    };
  }
  const errors = describeErrors(routes.map(({ plan }) => plan));
  return {
    openapi: "3.1.0",
    info: { title: "Muin", version: apiVersion, license: { name: "Apache-2.0", identifier: "Apache-2.0" } },
    servers: [{ url: "/" }],
    tags: [...new Set(routes.map(({ plan }) => plan.method.parent.typeName))].map((name) => ({
      name,
      description: comments[name] ?? name,
    })),
    paths: Object.fromEntries([...items.values()].map(({ path, operations }) => [path, operations])),
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

/** What is served at one path: OpenAPI knows no two that differ in the names of their parameters alone. */
interface PathItem {
  readonly path: string;
  /** Names of its parameters, in the order of the segments that they take. */
  readonly names: readonly string[];
  /** By HTTP method, in lower case. */
  readonly operations: Record<string, JsonObject>;
}

/** The path item of a route, in `items` by its path without names. The first route of a path names its parameters. */
function pathItemOf(route: RestRoute, items: Map<string, PathItem>): PathItem {
  const { segments, verb } = parsePathTemplate(route.template);
  const parameters = parametersOf(route);
  const pathWith = (names: readonly string[]): string => {
    let nth = 0;
    const parts = segments.map((segment) => (segment.kind === "literal" ? segment.text : `{${names[nth++]}}`));
    return `/${parts.join("/")}${verb === "" ? "" : `:${verb}`}`;
  };
  const shape = pathWith(parameters.map(() => ""));
  const known = items.get(shape);
  if (known !== undefined) return known;
  const names = parameters.map(({ name }) => name);
  const item: PathItem = { path: pathWith(names), names, operations: {} };
  items.set(shape, item);
  return item;
}

function operationOf(route: RestRoute, path: readonly JsonObject[], schemas: Schemas): JsonObject {
  const { method, policy, hasRequestId } = route.plan;
  const comment = schemas.described(`${method.parent.typeName}.${method.name}`);
  const reply =
    route.responseField === undefined
      ? schemas.message(method.output, "reply")
      : schemas.field(route.responseField, "reply");
  const isOpen = policy === undefined || policy.public;
  return {
    summary: summaryOf(comment.description) ?? `${method.parent.name}.${method.name}`,
    ...comment,
    tags: [method.parent.typeName],
    parameters: [
      ...path,
      ...queryOf(route, schemas),
      ...(hasRequestId ? [idempotencyKey(route, schemas)] : []),
      ...(policy?.signed === true || policy?.callers.includes(CallerKind.DEVICE) === true
        ? [signature(policy.signed)]
        : []),
    ],
    ...bodyOf(route, schemas),
    responses: {
      "200": { description: "The reply.", content: { "application/json": { schema: reply } } },
      ...errorsOf(route.plan),
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

function idempotencyKey(route: RestRoute, schemas: Schemas): JsonObject {
  return {
    name: "Idempotency-Key",
    in: "header",
    required: false,
    description: "The same as the field request_id.",
    schema: schemas.type(fieldNamed(route.binding.input, "request_id")!, "query"),
  };
}

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

interface PathParameter {
  readonly name: string;
  /** What it fills, or a part of; `undefined` for a segment that no variable takes. */
  readonly field: DescField | undefined;
}

/** A parameter for each segment that a variable takes: OpenAPI has none that spans segments. */
function parametersOf({ template, binding }: RestRoute): readonly PathParameter[] {
  const { segments, variables } = parsePathTemplate(template);
  return segments.flatMap((segment, index): readonly PathParameter[] => {
    if (segment.kind === "literal") return [];
    const nth = variables.findIndex(({ start, end }) => start <= index && index < end);
    const field = binding.variables[nth]?.at(-1);
    if (field === undefined) return [{ name: `part_${index}`, field }];
    const { start, end } = variables[nth]!;
    const isWhole = Math.min(end, segments.length) === start + 1;
    return [{ name: isWhole ? field.name : `${field.name}_${index - start}`, field }];
  });
}

function pathParameters(route: RestRoute, names: readonly string[], schemas: Schemas): JsonObject[] {
  return parametersOf(route).map(({ name, field }, nth) => {
    const isWhole = name === field?.name; // Of a field of several segments, the rules hold for all of them together.
    const schema = { minLength: 1, ...(isWhole ? schemas.type(field, "query") : { type: "string" }) };
    const parameter = { name: names[nth]!, in: "path", required: true, schema };
    return field === undefined ? parameter : Object.assign(parameter, schemas.described(nameOf(field)));
  });
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
          required: depth === 1 && isRequired(field),
          ...schemas.described(nameOf(field)),
          schema: schemas.type(field, "query"),
        };
      }
    }
  }
  yield* spread(input, "", 1);
}

function bodyOf(route: RestRoute, schemas: Schemas): JsonObject {
  const { input, body, variables } = route.binding;
  if (body === undefined) return {};
  const bound = new Set(variables.filter((fields) => fields.length === 1).map(([field]) => field));
  const fields = body === "*" ? input.fields.filter((field) => !bound.has(field)) : [body];
  const schema = body === "*" ? schemas.object(fields, "body") : schemas.type(body, "body");
  // What the path fills a part of is there without a body.
  const isThere = variables.some(([first]) => first === body);
  const required = !isThere && fields.some(isRequired);
  return { requestBody: { required, content: { "application/json": { schema } } } };
}

/** The first sentence, without its full stop. */
function summaryOf(comment: string | undefined): string | undefined {
  return comment === undefined ? undefined : /^.*?(?=\.(\s|$)|$)/.exec(comment)?.[0];
}
