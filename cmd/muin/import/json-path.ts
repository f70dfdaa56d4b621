/** The steps from the top of a JSON value to one of its parts: names of members, indices of elements. */
export type JsonPath = readonly (string | number)[];

const step = /(?:^|\.)([^.[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]/y;

/**
 * Reads a path such as `status`, `$.request.method`, `items[0].id` or `['a.b']`. Returns `undefined` when it is not one.
 */
export function parseJsonPath(text: string): JsonPath | undefined {
  const body = text.startsWith("$") ? text.slice(1).replace(/^\./, "") : text;
  const path: (string | number)[] = [];
  step.lastIndex = 0;
  while (step.lastIndex < body.length) {
    const match = step.exec(body);
    if (match === null) return undefined;
    const [, name, index, single, double] = match;
    if (index === undefined) path.push(name ?? (single ?? double ?? "").replaceAll(/\\(.)/g, "$1"));
    else path.push(Number(index));
  }
  return path.length === 0 ? undefined : path;
}

/** The part of `value` at `path`, or `undefined` when there is none. */
export function atJsonPath(value: unknown, path: JsonPath): unknown {
  let part = value;
  for (const key of path) {
    if (typeof part !== "object" || part === null || !Object.hasOwn(part, key)) return undefined;
    part = (part as Readonly<Record<string | number, unknown>>)[key];
  }
  return part;
}
