import { ScalarType, type DescField, type DescMessage, type Message, type Registry } from "@bufbuild/protobuf";
import { anyUnpack, isWrapperDesc, type Any } from "@bufbuild/protobuf/wkt";
import { fieldInvalid } from "../../resource/errors.ts";

/** Throws INVALID_ARGUMENT, reason FIELD_INVALID, with the path of the first field of a message whose text no store takes. */
export type TextCheck = (message: Message) => void;

/** Path from a value to the first text in it that no store takes: "" for itself, ".name", `[0]`. `undefined` when there is none. */
type Find = (value: unknown) => string | undefined;

type Fields = Readonly<Record<string, unknown>>;

/** A message in an Any in an Any, this deep, is refused: as deep as the library parses messages in messages. */
const anyDepthMax = 100;
/** Characters of a map's key that a path shows. */
const keyCharsMax = 64;

/**
 * Compiles the check of all text in a message, map keys and well-known types included: PostgreSQL has no NUL, and half of a surrogate
 * pair is no character. Bytes may be anything. What stands in an Any is checked when `registry` knows its type.
 */
export function compileTextCheck(schema: DescMessage, registry: Registry): TextCheck {
  const find = new Compiler(registry).message(schema);
  if (find === undefined) return () => undefined;
  return (message) => {
    const path = find(message);
    if (path !== undefined) throw fieldInvalid(path.slice(1), "must be text without NUL and half surrogate pairs");
  };
}

function findInString(value: unknown): string | undefined {
  return typeof value === "string" && (value.includes("\0") || !value.isWellFormed()) ? "" : undefined;
}

/** Compiles each type once, so that one that contains itself comes to an end. */
class Compiler {
  readonly #registry: Registry;
  readonly #messages = new Map<DescMessage, { find: Find | undefined }>();
  #anyDepth = 0;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  message(schema: DescMessage): Find | undefined {
    if (schema.typeName === "google.protobuf.Any") return (value) => this.#findInAny(value as Any);
    const known = this.#messages.get(schema);
    if (known !== undefined) return (value) => known.find?.(value);
    const compiled: { find: Find | undefined } = { find: undefined };
    this.#messages.set(schema, compiled);
    const finds = schema.fields.map((field) => this.#field(field)).filter((find) => find !== undefined);
    if (finds.length === 0) return undefined;
    return (compiled.find = (message) => {
      for (const find of finds) {
        const path = find(message);
        if (path !== undefined) return path;
      }
      return undefined;
    });
  }

  /** Looks at one field of the message that it is given. */
  #field(field: DescField): Find | undefined {
    const find = this.#value(field);
    if (find === undefined) return undefined;
    const { localName, name, oneof } = field;
    const under = (path: string | undefined): string | undefined =>
      path === undefined ? undefined : `.${name}${path}`;
    if (oneof === undefined) return (fields) => under(find((fields as Fields)[localName]));
    return (fields) => {
      const chosen = (fields as Fields)[oneof.localName] as { readonly case?: string; readonly value?: unknown };
      return chosen.case === localName ? under(find(chosen.value)) : undefined;
    };
  }

  #value(field: DescField): Find | undefined {
    switch (field.fieldKind) {
      case "scalar":
        return field.scalar === ScalarType.STRING ? findInString : undefined;
      case "message":
        // The library keeps a wrapper as the value that it wraps, but in a oneof.
        if (isWrapperDesc(field.message) && field.oneof === undefined) return textOf(field.message.fields[0].scalar);
        return present(this.#element(field.message, field));
      case "list":
        return inList(field.listKind === "message" ? this.#element(field.message, field) : textOf(field.scalar));
      case "map":
        return inMap(
          textOf(field.mapKey),
          field.mapKind === "message" ? this.#element(field.message, field) : textOf(field.scalar),
        );
      case "enum":
        return undefined;
    }
  }

  #element(schema: DescMessage, { parent }: DescField): Find | undefined {
    // The library keeps a Struct as JSON, but in a Value.
    const isJson = schema.typeName === "google.protobuf.Struct" && parent.typeName !== "google.protobuf.Value";
    return isJson ? findInJson : this.message(schema);
  }

  #findInAny(any: Any): string | undefined {
    if (findInString(any.typeUrl) !== undefined) return ".type_url";
    const schema = this.#registry.getMessage(any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1));
    if (schema === undefined) return undefined;
    if (this.#anyDepth === anyDepthMax) return ".value";
    this.#anyDepth += 1;
    try {
      const message = anyUnpack(any, this.#registry);
      return message === undefined ? undefined : this.message(schema)?.(message);
    } catch {
      return ".value"; // It does not parse: invalid UTF-8, for one.
    } finally {
      this.#anyDepth -= 1;
    }
  }
}

function textOf(scalar: ScalarType | undefined): Find | undefined {
  return scalar === ScalarType.STRING ? findInString : undefined;
}

function present(find: Find | undefined): Find | undefined {
  return find === undefined ? undefined : (value) => (value === undefined ? undefined : find(value));
}

function inList(find: Find | undefined): Find | undefined {
  if (find === undefined) return undefined;
  return (list) => {
    const elements = list as readonly unknown[];
    for (let index = 0; index < elements.length; index += 1) {
      const path = find(elements[index]);
      if (path !== undefined) return `[${index}]${path}`;
    }
    return undefined;
  };
}

function inMap(findKey: Find | undefined, find: Find | undefined): Find | undefined {
  if (findKey === undefined && find === undefined) return undefined;
  return (map) => {
    for (const [key, value] of Object.entries(map as Fields)) {
      if (findKey?.(key) !== undefined) return `${subscript(key)} (key)`;
      const path = find?.(value);
      if (path !== undefined) return `${subscript(key)}${path}`;
    }
    return undefined;
  };
}

/** Escaped, because the path is itself text that a reply must carry. */
function subscript(key: string): string {
  return `[${JSON.stringify(key.slice(0, keyCharsMax))}]`;
}

function findInJson(json: unknown): string | undefined {
  if (typeof json !== "object" || json === null) return findInString(json);
  return Array.isArray(json) ? inList(findInJson)!(json) : inMap(findInString, findInJson)!(json);
}
