import { isIPv4 } from "node:net";

/** "http://" or "https://", who may call, the server, and the rest. The server is written as it is: nothing in it is percent-encoded. */
const form = /^https?:\/\/(?:[^\s\p{Cc}\\/?#@]*@)?([^\s\p{Cc}\\/?#@%]+)(?:[/?#][^\s\p{Cc}\\]*)?$/iu;

/**
 * Reads an http or https URL as RFC 3986 writes it. `URL.parse` alone is the parser of browsers, which mends: it takes "https:host",
 * "https:///host" and "https:\\host", drops line ends and spaces, and reads the host "2130706433" as 127.0.0.1. Such a text is no URL to
 * others who read it, or another one: `undefined`.
 */
export function parseHttpUrl(text: string): URL | undefined {
  const server = form.exec(text)?.[1];
  const url = server === undefined ? null : URL.parse(text);
  if (server === undefined || url === null) return undefined;
  return isIPv4(url.hostname) && !server.startsWith(url.hostname) ? undefined : url;
}
