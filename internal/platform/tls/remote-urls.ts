import { readFileSync } from "node:fs";
import { ConfigError } from "../config/read-config.ts";
import { readIssuers } from "./certificate.ts";
import { isLoopback } from "./exposure.ts";

/** A server that a setting names. */
export interface NamedUrl {
  /** The setting, such as "MUIN_EVENTS_URL". */
  readonly variable: string;
  /** Empty: not given. */
  readonly url: string;
}

/** Parameters of a URL that name the file of who signed the server's certificate: PostgreSQL's own, and ours for a Redis. */
const issuerParameters: Readonly<Record<string, string>> = {
  "postgres:": "sslrootcert",
  "postgresql:": "sslrootcert",
  "rediss:": "ca_file",
};

/** Parameters by which a driver, or a reader of the URL, could take another server for the one that is named before the path. */
const serverParameters = ["host", "hostaddr", "port", "path", "sentinels"] as const;

/** The same with TLS, by the scheme that has none. */
const secureSchemes: Readonly<Record<string, string>> = { "redis:": "rediss", "http:": "https" };

/**
 * Throws `ConfigError`, with every problem, for a server that is reached by a network without TLS, for TLS that verifies nobody, wherever the
 * server is, and for files of issuers that cannot be used. With `insecure` the first two pass.
 */
export function checkUrls(
  urls: readonly NamedUrl[],
  rules: { readonly insecure: boolean; readonly caVariable: string; readonly caFile: string; readonly nowMs: number },
): void {
  const problems = urls.flatMap(({ variable, url }) => {
    if (url === "") return [];
    const parsed = new URL(url);
    if (parsed.protocol === "file:") return []; // It is no server.
    const problem = rules.insecure ? undefined : problemOf(parsed, rules.caVariable);
    const issuers = parsed.searchParams.get(issuerParameters[parsed.protocol] ?? "");
    return [
      ...(problem === undefined ? [] : [`${variable} ${problem}, or say that this is meant (MUIN_INSECURE=1)`]),
      ...(issuers === null || issuers === "system" ? [] : problemsWith(variable, issuers, rules.nowMs)),
    ];
  });
  if (rules.caFile !== "") problems.push(...problemsWith(rules.caVariable, rules.caFile, rules.nowMs));
  if (problems.length > 0) throw new ConfigError(problems);
}

/** The URL with the file of who may have signed its server's certificate, where it has TLS and names none. */
export function withIssuers(url: string, caFile: string): string {
  if (url === "" || caFile === "") return url;
  const parsed = new URL(url);
  const parameter = issuerParameters[parsed.protocol];
  if (parameter === undefined || parsed.searchParams.has(parameter) || !hasTls(parsed)) return url;
  parsed.searchParams.set(parameter, caFile);
  return parsed.href;
}

/**
 * A URL without its words about TLS, and what they mean: certificates in PEM of who may have signed the server's (`undefined`: whom the
 * system trusts). `isVerified` is false for a URL without TLS that verifies its server. Reads the file that the URL names.
 */
export function trustOf(url: string): {
  readonly url: string;
  readonly host: string;
  readonly isVerified: boolean;
  readonly ca: string | undefined;
} {
  const parsed = new URL(url);
  const host = parsed.hostname.replaceAll(/[[\]]/g, "");
  if (!hasTls(parsed)) return { url, host, isVerified: false, ca: undefined };
  const parameter = issuerParameters[parsed.protocol] ?? "";
  const path = parsed.searchParams.get(parameter);
  parsed.searchParams.delete(parameter);
  parsed.searchParams.delete("sslmode");
  const ca = path === null || path === "system" ? undefined : readFileSync(path, "utf8");
  return { url: parsed.href, host, isVerified: true, ca };
}

/** Whether the server must show a certificate that names it. */
function hasTls({ protocol, searchParams }: URL): boolean {
  return isPostgres(protocol) ? searchParams.get("sslmode") === "verify-full" : protocol === "rediss:";
}

function isPostgres(protocol: string): boolean {
  return protocol === "postgres:" || protocol === "postgresql:";
}

function problemOf(url: URL, caVariable: string): string | undefined {
  const { protocol, hostname, searchParams } = url;
  const other = serverParameters.find((name) => searchParams.has(name));
  if (other !== undefined) return `has ${other}=…: name the server before the path alone`;
  if (hostname === "") return "names no server before its path";
  const isHere = isLoopback(hostname);
  if (isPostgres(protocol)) {
    const right = `use sslmode=verify-full (with ${caVariable} for an issuer of your own)`;
    const [mode = "disable", ...more] = searchParams.getAll("sslmode");
    if (more.length > 0) return `has sslmode=… more than once: ${right}`;
    if (searchParams.has("ssl")) return `has ssl=…, which does not say whether the server is verified: ${right}`;
    if (mode === "verify-full" || (mode === "disable" && isHere)) return undefined;
    return mode === "disable"
      ? `reaches ${hostname} without TLS: ${right}`
      : `has sslmode=${mode}, which does not make sure that the server is ${hostname}: ${right}`;
  }
  if (protocol === "smtp:") {
    // With a password STARTTLS is demanded, and the server verified; without, whoever stands between can keep both from it.
    if (isHere || url.password !== "") return undefined;
    return `reaches ${hostname} by TLS only if that is offered: use smtps://, or a user and password, which demand it`;
  }
  const secure = secureSchemes[protocol];
  if (secure === undefined || isHere) return undefined;
  return `reaches ${hostname} without TLS: use ${secure}:// (with ${caVariable} for an issuer of your own)`;
}

function problemsWith(variable: string, path: string, nowMs: number): readonly string[] {
  try {
    readIssuers(variable, path, nowMs);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}
