/** One segment of a path template. */
export type TemplateSegment =
  { readonly kind: "literal"; readonly text: string } | { readonly kind: "*" } | { readonly kind: "**" };

/** A variable of a path template: the request field that it fills and the segments that it takes. */
export interface TemplateVariable {
  /** Path of the field, by protobuf names. */
  readonly field: readonly string[];
  /** Index of its first segment. */
  readonly start: number;
  /** Index after its last segment; `Infinity` when it takes the rest. */
  readonly end: number;
}

/** A path template of google.api.http, parsed. */
export interface PathTemplate {
  readonly segments: readonly TemplateSegment[];
  readonly variables: readonly TemplateVariable[];
  /** Custom verb after the last segment's ":", or "". */
  readonly verb: string;
}

/**
 * Parses a path template: `/v1/{name=a/*}/b:verb`. Grammar: google/api/http.proto, "Path template syntax". Throws for what is
 * none.
 */
export function parsePathTemplate(template: string): PathTemplate {
  const fail = (what: string): never => {
    throw new Error(`path template ${template}: ${what}`);
  };
  if (!template.startsWith("/")) fail("must begin with /");
  const colon = template.lastIndexOf(":");
  const hasVerb = colon > Math.max(template.lastIndexOf("/"), template.lastIndexOf("}"));
  const verb = hasVerb ? template.slice(colon + 1) : "";
  const path = template.slice(1, hasVerb ? colon : undefined);
  const segments: TemplateSegment[] = [];
  const variables: TemplateVariable[] = [];
  const addSegments = (text: string): void => {
    for (const segment of text.split("/")) {
      if (segments.at(-1)?.kind === "**") fail("** must be the last segment");
      if (segment === "") fail("empty segment");
      if (segment === "*" || segment === "**") segments.push({ kind: segment });
      else segments.push({ kind: "literal", text: segment });
    }
  };
  for (let rest = path; rest !== "";) {
    if (rest.startsWith("{")) {
      const close = rest.indexOf("}");
      if (close < 0) fail("{ without }");
      const [field = "", pattern = "*"] = rest.slice(1, close).split("=", 2);
      const start = segments.length;
      addSegments(pattern);
      variables.push({
        field: field.split("."),
        start,
        end: segments.at(-1)?.kind === "**" ? Infinity : segments.length,
      });
      rest = rest.slice(close + 1);
    } else {
      const brace = rest.indexOf("{");
      const text = brace < 0 ? rest : rest.slice(0, brace - 1);
      addSegments(text);
      rest = rest.slice(text.length);
    }
    if (rest !== "") {
      if (!rest.startsWith("/") || rest === "/") fail("a variable must be a whole segment");
      rest = rest.slice(1);
    }
  }
  return { segments, variables, verb };
}
