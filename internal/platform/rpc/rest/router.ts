import { percentText } from "../call/wire-text.ts";
import { parsePathTemplate, type TemplateVariable } from "./path-template.ts";

/** A route that a path and a method lead to, with the values of its variables. */
export interface RouteMatch<T> {
  readonly kind: "match";
  readonly target: T;
  /** Values of the path's variables, decoded, in the template's order. */
  readonly values: readonly string[];
}

/** What a path and a method lead to. */
export type RouteResult<T> =
  | RouteMatch<T>
  /** The path is known, for these methods only. */
  | { readonly kind: "method"; readonly allowed: readonly string[] }
  /** The path is not valid percent-encoding. */
  | { readonly kind: "malformed" }
  | { readonly kind: "none" };

/** Finds routes by HTTP method and path. */
export interface RestRouter<T> {
  /** Adds a route. Throws when there is one for the same method and path already. */
  add(method: string, template: string, target: T): void;
  /** `path` is still percent-encoded. Literal segments win over `*`, and `*` over `**`. */
  find(method: string, path: string): RouteResult<T>;
}

interface Leaf<T> {
  readonly target: T;
  readonly variables: readonly TemplateVariable[];
}

/** Routes by the segments so far. */
interface Node<T> {
  readonly literals: Map<string, Node<T>>;
  star: Node<T> | undefined;
  rest: Node<T> | undefined;
  /** By custom verb, then by HTTP method. */
  readonly leaves: Map<string, Map<string, Leaf<T>>>;
}

/** Creates a router without routes. */
export function createRestRouter<T>(): RestRouter<T> {
  const root = createNode<T>();
  return {
    add: (method, template, target) => {
      const { segments, variables, verb } = parsePathTemplate(template);
      let node = root;
      for (const segment of segments) {
        if (segment.kind === "literal") node = getOrAdd(node.literals, segment.text, createNode<T>);
        else if (segment.kind === "*") node = node.star ??= createNode();
        else node = node.rest ??= createNode();
      }
      const byMethod = getOrAdd(node.leaves, verb, () => new Map<string, Leaf<T>>());
      if (byMethod.has(method)) throw new Error(`two methods are served at ${method} ${template}`);
      byMethod.set(method, { target, variables });
    },
    find: (method, path) => {
      const segments = path.slice(1).split("/");
      const last = segments.length - 1;
      const colon = segments[last]!.lastIndexOf(":");
      let leaves: ReadonlyMap<string, Leaf<T>> | undefined;
      if (colon >= 0) {
        const whole = segments[last]!;
        segments[last] = whole.slice(0, colon);
        leaves = walk(root, segments, 0, whole.slice(colon + 1));
        if (leaves === undefined) segments[last] = whole;
      }
      leaves ??= walk(root, segments, 0, "");
      if (leaves === undefined) return { kind: "none" };
      const leaf = leaves.get(method);
      if (leaf === undefined) return { kind: "method", allowed: [...leaves.keys()] };
      try {
        return {
          kind: "match",
          target: leaf.target,
          values: leaf.variables.map((variable) => valueOf(variable, segments)),
        };
      } catch {
        return { kind: "malformed" }; // decodeURIComponent knows one failure only.
      }
    },
  };
}

function createNode<T>(): Node<T> {
  return { literals: new Map(), star: undefined, rest: undefined, leaves: new Map() };
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}

function walk<T>(
  node: Node<T>,
  segments: readonly string[],
  index: number,
  verb: string,
): ReadonlyMap<string, Leaf<T>> | undefined {
  if (index === segments.length) return node.leaves.get(verb);
  const segment = segments[index]!;
  const literal = node.literals.get(segment);
  if (literal !== undefined) {
    const found = walk(literal, segments, index + 1, verb);
    if (found !== undefined) return found;
  }
  if (node.star !== undefined && segment !== "") {
    const found = walk(node.star, segments, index + 1, verb);
    if (found !== undefined) return found;
  }
  return node.rest?.leaves.get(verb);
}

function valueOf({ start, end }: TemplateVariable, segments: readonly string[]): string {
  if (end === start + 1) return decode(segments[start]!);
  // Of several segments, an encoded slash stays encoded: it is no separator.
  return segments
    .slice(start, end)
    .map((segment) =>
      segment
        .split(/(%2F)/i)
        .map((part) => (/^%2F$/i.test(part) ? part : decode(part)))
        .join(""),
    )
    .join("/");
}

function decode(segment: string): string {
  return segment.includes("%") ? decodeURIComponent(percentText(segment)) : segment;
}
