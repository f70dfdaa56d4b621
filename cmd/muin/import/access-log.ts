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

/** What a line says. A field that the line gives as "-" or not at all is empty. */
export type AccessLogEntry = Readonly<Record<AccessLogField, string>>;

const afterRequest = /" (\d{3}|-) (\d+|-)(?= |$)/y;

/**
 * Reads one line of the common or combined format, as in https://httpd.apache.org/docs/2.4/logs.html#accesslog. Tolerates what
 * real logs contain: a request of "-", quotes inside the request, a last field cut off before its closing quote, fields after
 * the agent. Returns `undefined` for anything else.
 */
export function parseAccessLog(line: string): AccessLogEntry | undefined {
  const hostEnd = line.indexOf(" ");
  const identEnd = line.indexOf(" ", hostEnd + 1);
  const userEnd = line.indexOf(" [", identEnd + 1);
  const timeEnd = line.indexOf('] "', userEnd + 2);
  if (hostEnd < 1 || identEnd < 0 || userEnd < 0 || timeEnd < 0) return undefined;

  const requestStart = timeEnd + 3;
  let requestEnd = endOfQuoted(line, requestStart);
  while (requestEnd < line.length) {
    afterRequest.lastIndex = requestEnd;
    const match = afterRequest.exec(line);
    if (match !== null) {
      const request = unescape(line.slice(requestStart, requestEnd));
      const [referer, next] = quotedField(line, afterRequest.lastIndex);
      const [agent] = quotedField(line, next);
      return {
        host: given(line.slice(0, hostEnd)),
        user: given(line.slice(identEnd + 1, userEnd)),
        time: line.slice(userEnd + 2, timeEnd),
        ...splitRequest(request),
        status: given(match[1] ?? ""),
        bytes: given(match[2] ?? ""),
        referer: given(referer),
        agent: given(agent),
      };
    }
    requestEnd = endOfQuoted(line, requestEnd + 1);
  }
  return undefined;
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

function quotedField(line: string, from: number): readonly [text: string, next: number] {
  if (line[from] !== " " || line[from + 1] !== '"') return ["", line.length];
  const end = endOfQuoted(line, from + 2);
  return [unescape(line.slice(from + 2, end)), end + 1];
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
