import { readFileSync } from "node:fs";
import { editsBetween } from "./edit-distance.ts";
import type { ConfigField, ConfigFields, ConfigValues } from "./fields.ts";

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment of this process: the one place that reads it. */
export function processEnvironment(): Environment {
  return process.env;
}

/** Settings that cannot be used: every problem, not just the first. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** One sentence each: the variable, what it got (secrets redacted) and what it accepts. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(["the configuration cannot be used:", ...problems].join("\n  "));
    this.problems = problems;
  }
}

/** A setting as `muin config` shows it. */
export interface DescribedSetting {
  readonly variable: string;
  readonly accepts: string;
  readonly doc: string;
  /** `undefined` when the setting must be given. */
  readonly default: string | undefined;
  /** Redacted; `undefined` when it is missing or unreadable. */
  readonly value: string | undefined;
  /** "default", "environment", or the path of the file that it was read from. */
  readonly source: string;
  /** Why the value cannot be used. */
  readonly problem: string | undefined;
}

/** A variable that nothing reads, and the known one it may have been meant to be. */
export interface UnknownVariable {
  readonly variable: string;
  readonly nearest: string | undefined;
}

/**
 * The variable of a setting: `MUIN_<PREFIX>_<NAME>`, or `MUIN_<NAME>` when `prefix` is empty. A prefix may be a service's name:
 * "count-write" becomes COUNT_WRITE.
 */
export function variableOf(prefix: string, name: string): string {
  return ["MUIN", ...(prefix === "" ? [] : [prefix.replaceAll("-", "_").toUpperCase()]), name].join("_");
}

/**
 * Reads settings. `<variable>_FILE` names a file that holds the value instead; one newline at its end is not part of it.
 * Throws `ConfigError` with every problem.
 */
export function readConfig<F extends ConfigFields>(prefix: string, fields: F, env: Environment): ConfigValues<F> {
  const settings = Object.entries(fields).map(([key, field]) => [key, read(prefix, field, env)] as const);
  const problems = settings.flatMap(([, setting]) => setting.problem ?? []);
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.fromEntries(settings.map(([key, setting]) => [key, setting.value])) as ConfigValues<F>;
}

/** Every setting with its meaning, its present value and where that comes from. Never throws for a bad value. */
export function describeConfig(prefix: string, fields: ConfigFields, env: Environment): readonly DescribedSetting[] {
  return Object.values(fields).map((field) => {
    const { variable, text, source, problem } = read(prefix, field, env);
    const fallback =
      field.default === undefined ? undefined : field.redact((field.default as { toString(): string }).toString());
    return {
      variable,
      accepts: field.accepts,
      doc: field.doc,
      default: fallback,
      value: source === "default" ? fallback : text === undefined ? undefined : field.redact(text),
      source,
      problem,
    };
  });
}

/** Variables that begin with `MUIN_` and are not in `known` (without their `_FILE` forms): probably mistyped. */
export function findUnknown(known: Iterable<string>, env: Environment): readonly UnknownVariable[] {
  const names = [...known].flatMap((variable) => [variable, `${variable}_FILE`]);
  const accepted = new Set(names);
  return Object.keys(env)
    .filter((variable) => variable.startsWith("MUIN_") && env[variable] !== undefined && !accepted.has(variable))
    .toSorted()
    .map((variable) => ({ variable, nearest: nearestOf(variable, names) }));
}

/** More edits than this, and two names have nothing to do with each other. */
const typoEditsMax = 4;

interface ReadSetting {
  readonly variable: string;
  readonly text: string | undefined;
  readonly source: string;
  readonly value: unknown;
  readonly problem: string | undefined;
}

function read(prefix: string, field: ConfigField<unknown>, env: Environment): ReadSetting {
  const variable = variableOf(field.isShared === true ? "" : prefix, field.name);
  const path = env[`${variable}_FILE`];
  let text = env[variable];
  let source = path === undefined ? (text === undefined ? "default" : "environment") : path;
  const failed = (problem: string): ReadSetting => ({ variable, text, source, value: undefined, problem });

  if (path !== undefined && text !== undefined) {
    source = "environment";
    return failed(`${variable} and ${variable}_FILE are both set: give one of them`);
  }
  if (path !== undefined) {
    try {
      text = readFileSync(path, "utf8").replace(/\r?\n$/, "");
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "unreadable";
      return failed(`${variable}_FILE names ${path}, which cannot be read (${code})`);
    }
  }
  if (text === undefined) {
    if (field.default === undefined) return failed(`${variable} is missing: it must be given (${field.accepts})`);
    return { variable, text, source, value: field.default, problem: undefined };
  }
  const value = field.parse(text);
  if (value === undefined) {
    const got = text === "" ? "an empty text" : JSON.stringify(field.redact(text).slice(0, 200));
    return failed(`${variable} got ${got}${path === undefined ? "" : ` from ${path}`}, accepts ${field.accepts}`);
  }
  return { variable, text, source, value, problem: undefined };
}

function nearestOf(variable: string, names: readonly string[]): string | undefined {
  let best: { name: string; edits: number } | undefined;
  for (const name of names) {
    const edits = editsBetween(variable, name);
    if (edits <= typoEditsMax && (best === undefined || edits < best.edits)) best = { name, edits };
  }
  return best?.name;
}
