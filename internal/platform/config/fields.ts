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

/** One setting. Its environment variable is `MUIN_<SERVICE>_<NAME>`, or `MUIN_<NAME>` for the platform's own. */
export interface ConfigField<T> {
  /** UPPER_SNAKE, unit last, such as "ACCESS_TOKEN_LIFE_MS". */
  readonly name: string;
  /** Shown by `muin config`: what it accepts, in words, such as "integer, 1 to 512". */
  readonly accepts: string;
  /** What it means. */
  readonly doc: string;
  /** Absent: the setting must be given. */
  readonly default: T | undefined;
  /** The value, or `undefined` when the text is not acceptable. */
  parse(text: string): T | undefined;
}

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
  };
}

/** Any text of 1 to 4096 characters. */
export function text(name: string, options: FieldOptions<string>): ConfigField<string> {
  return {
    name,
    accepts: "text",
    doc: options.doc,
    default: options.default,
    parse: (value) => (value.length > 0 && value.length <= 4096 ? value : undefined),
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
  };
}

/** "true" or "false". */
export function flag(name: string, options: FieldOptions<boolean>): ConfigField<boolean> {
  return {
    name,
    accepts: "true | false",
    doc: options.doc,
    default: options.default,
    parse: (value) => (value === "true" ? true : value === "false" ? false : undefined),
  };
}

/** A secret of 1 to 4096 characters: never printed. */
export function secret(name: string, options: FieldOptions<Secret>): ConfigField<Secret> {
  return {
    name,
    accepts: "secret text",
    doc: options.doc,
    default: options.default,
    parse: (value) => (value.length > 0 && value.length <= 4096 ? new Secret(value) : undefined),
  };
}

/** The settings of a service, by the names its code uses. */
export type ConfigFields = Readonly<Record<string, ConfigField<unknown>>>;

/** The values of settings. */
export type ConfigValues<F> = { readonly [K in keyof F]: F[K] extends ConfigField<infer T> ? T : never };
