import {
  getOption,
  hasOption,
  type DescField,
  type DescMessage,
  type DescMethod,
  type Registry,
} from "@bufbuild/protobuf";
import { http as httpOption } from "../../../gen/google/api/annotations_pb.ts";
import type { HttpRule } from "../../../gen/google/api/http_pb.ts";
import type { MethodPlan, MethodPlans } from "../call/plan.ts";
import { createJsonDecoder, type JsonDecoder } from "../call/wire-text.ts";
import { resolveFields, type RequestBinding } from "./binding.ts";
import { parsePathTemplate } from "./path-template.ts";

/** A route of google.api.http. */
export interface RestRoute {
  readonly plan: MethodPlan;
  readonly method: string;
  readonly template: string;
  readonly binding: RequestBinding;
  /** Decodes the body. */
  readonly json: JsonDecoder;
  /** The reply's field that is the response's body; `undefined` for all of the reply. */
  readonly responseField: DescField | undefined;
}

/** Finds the routes of all methods, in the order of the plans. Throws for an annotation that cannot be served. */
export function planRoutes(plans: MethodPlans, registry: Registry): readonly RestRoute[] {
  const routes: RestRoute[] = [];
  for (const plan of plans.values()) {
    if (!hasOption(plan.method, httpOption)) continue;
    const rule = getOption(plan.method, httpOption);
    for (const each of [rule, ...rule.additionalBindings]) routes.push(planRoute(plan, each, registry));
  }
  return routes;
}

function planRoute(plan: MethodPlan, rule: HttpRule, registry: Registry): RestRoute {
  const { method } = plan;
  if (method.methodKind !== "unary") throw new Error(`${name(method)} streams: it cannot have a REST path`);
  const { pattern } = rule;
  if (pattern.case === undefined) throw new Error(`${name(method)} has a REST annotation without a path`);
  const [verb, template] =
    pattern.case === "custom" ? [pattern.value.kind, pattern.value.path] : [pattern.case.toUpperCase(), pattern.value];
  const body = rule.body === "" || rule.body === "*" ? rule.body : resolveFields(method.input, [rule.body])[0]!;
  return {
    plan,
    method: verb,
    template,
    binding: {
      input: method.input,
      body: body === "" ? undefined : body,
      variables: parsePathTemplate(template).variables.map(({ field }) => resolveFields(method.input, field)),
      json: { registry, ignoreUnknownFields: false },
    },
    json: createJsonDecoder(bodySchema(method.input, body)),
    responseField: rule.responseBody === "" ? undefined : resolveFields(method.output, [rule.responseBody])[0]!,
  };
}

/** The message that stands in a request's body. */
function bodySchema(input: DescMessage, body: DescField | string): DescMessage | undefined {
  if (typeof body === "string") return input;
  return body.fieldKind === "message" ? body.message : undefined;
}

function name(method: DescMethod): string {
  return `${method.parent.typeName}.${method.name}`;
}
