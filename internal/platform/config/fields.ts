import { parseHttpUrl } from "./http-url.ts";

/** A value that never prints: logs, errors and JSON show "[redacted]". */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return "[redacted]";
  }

  toJSON(): string {
    return "[redacted]";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[redacted]";
  }
}

/** One setting. Its environment variable is `MUIN_<SERVICE>_<NAME>`, or `MUIN_<NAME>` for the platform's own and shared ones. */
export interface ConfigField<T> {
  /** UPPER_SNAKE, unit last, such as "ACCESS_TOKEN_LIFE_MS". */
  readonly name: string;
  /** Shown by `muin config`: what it accepts, in words, such as "integer, 1 to 512". */
  readonly accepts: string;
  /** What it means. */
  readonly doc: string;
  /** True: one setting of the whole installation, `MUIN_<NAME>` for whichever service declares it. Default false. */
  readonly isShared?: boolean;
  /** True: the value is a `Secret`. Default false. */
  readonly isSecret?: boolean;
  /** Absent: the setting must be given. */
  readonly default: T | undefined;
  /** The value, or `undefined` when the text is not acceptable. */
  parse(text: string): T | undefined;
  /** The text of a value, acceptable or not, as a person may see it. */
  redact(text: string): string;
}

/**
 * Up to the last "@": a password that was not percent-encoded may itself contain "@", "/" or ":". Drivers also take a password as a
 * parameter.
 */
const withoutUserInfo = (text: string): string => withoutPassword(text.replace(/^([^:]*:\/\/).*@/s, "$1[redacted]@"));
const withoutPassword = (text: string): string => text.replace(/([?&]\w*pass\w*=)[^&]*/gi, "$1[redacted]");
const asIs = (text: string): string => text;
const hidden = (): string => "[redacted]";

/** What every field states. */
interface FieldOptions<T> {
  readonly doc: string;
  /** Absent: the setting must be given. */
  readonly default?: T;
}

/** A whole number within inclusive bounds. */
export function int(
  name: string,
  options: FieldOptions<number> & { readonly min?: number; readonly max?: number },
): ConfigField<number> {
  const min = options.min ?? 0;
  const max = options.max ?? Number.MAX_SAFE_INTEGER;
  return {
    name,
    accepts: `integer, ${min} to ${max}`,
    doc: options.doc,
    default: options.default,
    parse: (text) => {
      const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    },
    redact: asIs,
  };
}

/** An absolute URL of one of the listed schemes, such as "redis". A password in it is never printed. */
export function url(
  name: string,
  options: FieldOptions<string> & { readonly schemes: readonly string[] },
): ConfigField<string> {
  return {
    name,
    accepts: options.schemes.map((scheme) => `${scheme}://…`).join(" | "),
    doc: options.doc,
    default: options.default,
    parse: (value) =>
      options.schemes.some((scheme) => value.startsWith(`${scheme}://`)) && isReadable(value) ? value : undefined,
    redact: (value) =>
      value.includes("://") ? withoutUserInfo(value) : withoutPassword(value.replace(/.*@/s, "[redacted]@")),
  };
}

/** Whether a text is a URL whose parts can be decoded, as drivers do: a password with a bare "%" cannot. Nothing in it is passed over. */
function isReadable(text: string): boolean {
  if (/\p{Cc}/u.test(text) || text !== text.trim()) return false;
  if (/^https?:/i.test(text) && parseHttpUrl(text) === undefined) return false;
  try {
    const { username, password, pathname } = new URL(text);
    for (const part of [username, password, pathname]) decodeURIComponent(part);
    return true;
  } catch {
    return false; // Both know one failure only.
  }
}

/** Any text of 1 to 4096 characters. A password in it is never printed when it is a URL. */
export function text(name: string, options: FieldOptions<string>): ConfigField<string> {
  return {
    name,
    accepts: "text",
    doc: options.doc,
    default: options.default,
    parse: (value) => (value.length > 0 && value.length <= 4096 ? value : undefined),
    redact: withoutUserInfo,
  };
}

/** An absolute path of 2 to 1024 characters, so not "/". */
export function path(name: string, options: FieldOptions<string>): ConfigField<string> {
  return {
    name,
    accepts: "absolute path",
    doc: options.doc,
    default: options.default,
    parse: (value) => (/^\/[^\0]{1,1023}$/.test(value) && value.trim() === value ? value : undefined),
    redact: asIs,
  };
}

/** One of the listed words. */
export function oneOf<const T extends string>(
  name: string,
  words: readonly T[],
  options: FieldOptions<NoInfer<T>>,
): ConfigField<T> {
  return {
    name,
    accepts: words.join(" | "),
    doc: options.doc,
    default: options.default,
    parse: (value) => words.find((word) => word === value),
    redact: asIs,
  };
}

/** "1" or "true", "0" or "false". */
export function flag(name: string, options: FieldOptions<boolean>): ConfigField<boolean> {
  return {
    name,
    accepts: "1 | 0 | true | false",
    doc: options.doc,
    default: options.default,
    parse: (value) => ["1", "true"].includes(value) || (["0", "false"].includes(value) ? false : undefined),
    redact: asIs,
  };
}

/** A secret of 1 to 4096 characters: never printed. */
export function secret(name: string, options: FieldOptions<Secret>): ConfigField<Secret> {
  return {
    name,
    isSecret: true,
    accepts: "secret text",
    doc: options.doc,
    default: options.default,
    parse: (value) => (value.length > 0 && value.length <= 4096 ? new Secret(value) : undefined),
    redact: hidden,
  };
}

/** The settings of a service, by the names its code uses. */
export type ConfigFields = Readonly<Record<string, ConfigField<unknown>>>;

/** The values of settings. */
export type ConfigValues<F> = { readonly [K in keyof F]: F[K] extends ConfigField<infer T> ? T : never };
