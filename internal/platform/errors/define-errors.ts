import { MuinError, type ErrorCode, type FieldViolation } from "./muin-error.ts";

/** One error that callers may see. Rows are data: documents list them, and makers are derived from them. */
export interface ErrorRow {
  /** UPPER_SNAKE, subject first: `USER_NOT_FOUND`, `PAGE_TOKEN_INVALID`. One reason has one code in all of Muin. */
  readonly reason: string;
  readonly code: ErrorCode;
  /**
   * What was wrong and what would be right, for a person. `{name}` is replaced by the parameter of that name, lower_snake, which
   * is also sent as metadata of the same key.
   */
  readonly text: string;
  /** When to try again, in milliseconds, unless the maker is told otherwise. Default: not said. */
  readonly retryAfterMs?: number;
}

/** The rows of a service, or of a part of the platform, by the names of their makers. */
export type ErrorTable = Readonly<Record<string, ErrorRow>>;

/** What a single error adds to its row. */
export interface ErrorExtra {
  /** Instead of the row's text, where only who finds the error knows what would be right. */
  readonly message?: string;
  /** Further facts for a program, beside the parameters; keys in lower_snake. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly FieldViolation[];
  /** Instead of the row's, in milliseconds. */
  readonly retryAfterMs?: number;
  /** What lies behind it: logged, never sent. */
  readonly cause?: unknown;
}

/** Names of the parameters in a text. */
type Parameters<T extends string> = T extends `${string}{${infer Name}}${infer Rest}` ? Name | Parameters<Rest> : never;

type Maker<T extends string> = [Parameters<T>] extends [never]
  ? (extra?: ErrorExtra) => MuinError
  : (parameters: Readonly<Record<Parameters<T>, string>>, extra?: ErrorExtra) => MuinError;

/** A maker per row, and the rows themselves. */
export type Errors<T extends ErrorTable> = { readonly [K in keyof T]: Maker<T[K]["text"]> } & {
  readonly table: T;
};

/** The closed union of a table's reasons. */
export type ReasonOf<E extends { readonly table: ErrorTable }> = E["table"][keyof E["table"]]["reason"];

/** Splits a text into what stands as it is and, at the odd places, the names of parameters. */
const parameter = /\{([a-z_]+)\}/;

/** Derives the makers of a table: `defineErrors({ userNotFound: { … } }).userNotFound({ user_id })`. */
export function defineErrors<const T extends ErrorTable>(table: T): Errors<T> {
  const makers = Object.entries<ErrorRow>(table).map(([name, { reason, code, text, retryAfterMs }]) => {
    const parts = text.split(parameter);
    const fill = (parameters: Readonly<Record<string, string>>): string =>
      parts.map((part, place) => (place % 2 === 0 ? part : (parameters[part] ?? ""))).join("");
    const make = (parameters: Readonly<Record<string, string>>, extra: ErrorExtra = {}): MuinError => {
      const retry = extra.retryAfterMs ?? retryAfterMs;
      return new MuinError({
        code,
        reason,
        message: extra.message ?? fill(parameters),
        metadata: extra.metadata === undefined ? parameters : { ...parameters, ...extra.metadata },
        ...(extra.violations === undefined ? {} : { violations: extra.violations }),
        ...(retry === undefined ? {} : { retryAfterMs: retry }),
        ...(extra.cause === undefined ? {} : { cause: extra.cause }),
      });
    };
    return [name, parts.length === 1 ? (extra?: ErrorExtra) => make({}, extra) : make] as const;
  });
  return { ...Object.fromEntries(makers), table } as Errors<T>; // Typed by the table's own texts.
}
