import { isIPv4 } from "node:net";
import { flag } from "../config/fields.ts";
import { ConfigError, variableOf } from "../config/read-config.ts";

/** Says that passwords, keys and data may cross networks in plain text: `MUIN_INSECURE`. */
export const insecureField = flag("INSECURE", {
  doc: "Says that calls and data may cross networks without TLS, or with one that verifies nobody.",
  default: false,
});

/** Where a process listens, and what was said about it. */
export interface Listens {
  readonly host: string;
  readonly behindProxy: boolean;
  readonly insecure: boolean;
  readonly hasTls: boolean;
}

/** Whether only this machine reaches what listens there. A name but "localhost" may stand for any address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || (isIPv4(host) && host.startsWith("127."));
}

/** Throws `ConfigError` where others than this machine could call without TLS and nobody said that this is meant. */
export function checkListener({ host, behindProxy, insecure, hasTls }: Listens): void {
  if (hasTls || behindProxy || insecure || isLoopback(host)) return;
  throw new ConfigError([
    `${variableOf("", "HOST")} got "${host}", which others reach, and there is no TLS: give MUIN_TLS_CERT_FILE and MUIN_TLS_KEY_FILE ` +
      "(muin up --tls makes them), or say that a proxy in front speaks TLS (--behind-proxy, MUIN_BEHIND_PROXY=1), " +
      "or that passwords and keys may cross the network in plain text (--insecure, MUIN_INSECURE=1)",
  ]);
}

/** What stands in the status of a process of which it was said that plain text is meant. */
export function insecurityNotice({ insecure }: Pick<Listens, "insecure">): string | undefined {
  return insecure
    ? `${variableOf("", insecureField.name)} is said: calls and data may cross networks in plain text, passwords and keys among them`
    : undefined;
}

/**
 * Throws `ConfigError` where others than this machine could reach the operator's port without TLS. Nobody shows credentials there, and
 * no proxy stands before it: a word about it is not enough.
 */
export function checkOperatorListener({ operatorHost, hasTls }: { operatorHost: string; hasTls: boolean }): void {
  if (hasTls || isLoopback(operatorHost)) return;
  throw new ConfigError([
    `${variableOf("", "OPERATOR_HOST")} got "${operatorHost}", which others reach, and there is no TLS: give MUIN_TLS_CERT_FILE and ` +
      "MUIN_TLS_KEY_FILE, or a loopback address",
  ]);
}
