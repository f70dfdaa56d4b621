/** Why a request is refused by its head alone. */
export interface HeadRefusal {
  readonly status: 400 | 405 | 431;
  readonly message: string;
}

/** Methods that ask for a tunnel, and for the request back as it came, credentials of a proxy included. */
const refusedMethods: ReadonlySet<string> = new Set(["CONNECT", "TRACE"]);

const methodRefusal: HeadRefusal = { status: 405, message: "CONNECT and TRACE are not answered" };
const hostRefusal: HeadRefusal = { status: 400, message: "a request names no more than one host, in one Host header" };
/** Characters of a request's URL on the HTTP port. */
const urlCharsMax = 16 * 1024;

const lengthRefusal: HeadRefusal = {
  status: 431,
  message: `a request's URL has ${urlCharsMax} characters at the most: send a long list in the body of a POST`,
};
const targetRefusal: HeadRefusal = { status: 400, message: "a request's target has no fragment: send # as %23" };

/**
 * Looks at a request's method, its host, in which several are joined by commas, and its URL or target. `undefined`: it may come in.
 * HTTP/1.0 and HTTP/2 need no host; without one, HTTP/1.1 is refused by Bun.
 */
export function refuseHead(method: string, host: string | null | undefined, url: string): HeadRefusal | undefined {
  if (refusedMethods.has(method)) return methodRefusal;
  if (host?.includes(",") === true) return hostRefusal;
  if (url.length > urlCharsMax) return lengthRefusal;
  return url.includes("#") ? targetRefusal : undefined;
}
