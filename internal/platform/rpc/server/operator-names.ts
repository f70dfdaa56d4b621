import { isIP } from "node:net";

/** A name or an address, IPv6 in brackets, with or without a port. */
const hostForm = /^(?<name>\[[\da-f:.]+\]|[^\s:@/[\]]+)(?::\d+)?$/i;

/**
 * Creates what says whether a Host header names the operator port: by an address, as "localhost" or by one of `names`. The page of a
 * foreign site, whose name was made to lead here, asks by that name.
 */
export function createOperatorNames(names: readonly string[]): (host: string) => boolean {
  const known = new Set(["localhost", ...names.map(plain)]);
  return (host) => {
    const name = plain(hostForm.exec(host)?.groups?.["name"] ?? "");
    return isIP(name) > 0 || known.has(name);
  };
}

/** A name in lower case, without what may stand around it. */
function plain(name: string): string {
  return name
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "")
    .toLowerCase();
}
