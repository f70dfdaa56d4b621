import { isIP } from "node:net";

/** Fields of a line of Apache's and nginx's "common" and "combined" formats, in their order. */
export const accessLogFields = [
  "host",
  "user",
  "time",
  "method",
  "path",
  "protocol",
  "status",
  "bytes",
  "referer",
  "agent",
] as const;

/** A field of an access log. */
export type AccessLogField = (typeof accessLogFields)[number];

/** Fields of a line of Apache's "vhost_combined", whose virtual host and port stand before those of a common or combined one. */
export const vhostLogFields = ["vhost", "port", ...accessLogFields] as const;

/** A field of such a line. */
export type VhostLogField = (typeof vhostLogFields)[number];

/** What a line says. A field that the line gives as "-" or not at all is empty; so is a user that it gives as `""`. */
export type AccessLogEntry = Readonly<Record<AccessLogField, string>>;

/** The same of a line with a virtual host. The port is empty where the line has none. */
export type VhostLogEntry = Readonly<Record<VhostLogField, string>>;

const afterRequest = /" (\d{3}|-) (\d+|-)(?= |$)/y;
/** What stands before the request: host, identity, user, time. A user may hold single spaces; none is "-" and something. */
const beforeRequest = /^([^ ]+) ([^ ]+) (?!- [^[])((?:[^ ]+(?: [^ ]+)*?)?) \[([^[\]]+)\] "/;
/** A name or, as nginx writes it for a socket of the machine, "unix:". An address is judged apart. */
const hostName = /^(?:[\p{L}\p{N}_.-]+|unix:)$/u;
const vhostPrefix = /^([^ :,"[\]]+|\[[\da-f:.]+\])(?::(\d{1,5}))? (?=[^ ]+ [^ ]+ )/i;
/** Fields behind the agent: bare or quoted, the last one perhaps cut off. */
const moreFields = /^(?: +(?:"(?:[^"\\]|\\.)*(?:"|$)|[^" ][^" ]*))* *$/;

/**
 * Reads one line of the common or combined format, as in https://httpd.apache.org/docs/2.4/logs.html#accesslog. Tolerates what
 * real logs contain: a request of "-", quotes that nobody escaped, a last field cut off before its closing quote, fields after
 * the agent. Returns `undefined` for anything else, so that no field is read as another.
 */
export function parseAccessLog(line: string): AccessLogEntry | undefined {
  const [before = "", host = "", ident = "", user = "", time = ""] = beforeRequest.exec(line) ?? [];
  if (before === "" || !(hostName.test(host) || isIP(host) > 0)) return undefined;
  if (ident !== "-" && isIP(ident) > 0) return undefined; // A virtual host stands before the client.
  const requestStart = before.length;
  let requestEnd = endOfQuoted(line, requestStart);
  while (requestEnd < line.length) {
    afterRequest.lastIndex = requestEnd;
    const match = afterRequest.exec(line);
    if (match !== null) {
      const tail = readTail(line.slice(afterRequest.lastIndex));
      return (
        tail && {
          host: given(host),
          user: user === '""' ? "" : given(user),
          time,
          ...splitRequest(unescape(line.slice(requestStart, requestEnd))),
          status: given(match[1] ?? ""),
          bytes: given(match[2] ?? ""),
          ...tail,
        }
      );
    }
    requestEnd = endOfQuoted(line, requestEnd + 1);
  }
  return undefined;
}

/**
 * Reads one line of the format that Apache calls "vhost_combined": a virtual host, with or without its port, before a line of the combined
 * or common one. Returns `undefined` for anything else.
 */
export function parseVhostLog(line: string): VhostLogEntry | undefined {
  const [prefix = "", vhost = "", port = ""] = vhostPrefix.exec(line) ?? [];
  if (prefix === "") return undefined;
  const entry = parseAccessLog(line.slice(prefix.length));
  // A line without a virtual host would have a user of two words here, and "-" where its client is.
  return entry === undefined || entry.host === "" ? undefined : { vhost: given(vhost), port, ...entry };
}

const startsQuotedOrEmpty = /^ (?:"|- |-$)/;

/** Referer and agent, which stand behind the bytes, or neither; `undefined` when it is not clear which text is whose. */
function readTail(tail: string): Pick<AccessLogEntry, "referer" | "agent"> | undefined {
  if (!startsQuotedOrEmpty.test(tail)) return tail.includes('"') ? undefined : { referer: "", agent: "" };
  const isQuoted = tail[1] === '"';
  const [referer, behind] = isQuoted ? quotedUntil(tail.slice(2), beforeAgent) : ["-", tail.slice(2)];
  if (!startsQuotedOrEmpty.test(behind)) {
    const isAll = behind === "" && (!isQuoted || endOfQuoted(tail, 2) >= tail.length - 1);
    return isAll ? { referer: given(referer), agent: "" } : undefined;
  }
  const [agent, more] = behind[1] === '"' ? quotedUntil(behind.slice(2), beforeMore) : ["-", behind.slice(2)];
  return moreFields.test(more) ? { referer: given(referer), agent: given(agent) } : undefined;
}

/** Whether a quoted field can end at a quote: the text, the place behind the quote, and how many unescaped quotes are left there. */
type CanEnd = (text: string, at: number, quotesLeft: number) => boolean;

/** The referer ends where the line does, or where another quoted field or an empty one begins. */
const beforeAgent: CanEnd = (text, at) => {
  if (at === text.length || text.startsWith(' "', at)) return true;
  return text.startsWith(" -", at) && (at + 2 === text.length || text[at + 2] === " ");
};

/** The agent ends where the line does, or where other fields begin, which have an even number of quotes. */
const beforeMore: CanEnd = (text, at, quotesLeft) => at === text.length || (text[at] === " " && quotesLeft % 2 === 0);

/** A quoted text up to the first quote at which it can end, and what is behind that; all of it when there is none. */
function quotedUntil(text: string, canEnd: CanEnd): readonly [text: string, rest: string] {
  const first = endOfQuoted(text, 0);
  if (first === text.length - 1) return [unescape(text.slice(0, first)), ""]; // Nearly always.
  const quotes: number[] = [];
  for (let at = first; at < text.length; at = endOfQuoted(text, at + 1)) quotes.push(at);
  const end = quotes.find((at, index) => canEnd(text, at + 1, quotes.length - index - 1));
  return end === undefined ? [unescape(text), ""] : [unescape(text.slice(0, end)), text.slice(end + 1)];
}

function given(text: string): string {
  return text === "-" ? "" : text;
}

/** Index of the next quote that no backslash escapes, or the line's length. */
function endOfQuoted(line: string, from: number): number {
  for (let at = from; at < line.length; at++) {
    const char = line[at];
    if (char === "\\") at++;
    else if (char === '"') return at;
  }
  return line.length;
}

function unescape(text: string): string {
  return text.includes("\\") ? text.replaceAll(/\\(["\\])/g, "$1") : text;
}

function splitRequest(request: string): Pick<AccessLogEntry, "method" | "path" | "protocol"> {
  if (request === "-" || request === "") return { method: "", path: "", protocol: "" };
  const methodEnd = request.indexOf(" ");
  if (methodEnd < 0) return { method: request, path: "", protocol: "" };
  const protocolStart = request.lastIndexOf(" ") + 1;
  const protocol = request.startsWith("HTTP/", protocolStart) ? request.slice(protocolStart) : "";
  const pathEnd = protocol === "" ? request.length : protocolStart - 1;
  return {
    method: request.slice(0, methodEnd),
    path: request.slice(methodEnd + 1, Math.max(pathEnd, methodEnd + 1)),
    protocol,
  };
}
