/** Why a request is refused by its head alone. */
export interface HeadRefusal {
  readonly status: 400 | 405;
  readonly message: string;
}

/** Methods that ask for a tunnel, and for the request back as it came, credentials of a proxy included. */
const refusedMethods: ReadonlySet<string> = new Set(["CONNECT", "TRACE"]);

const methodRefusal: HeadRefusal = { status: 405, message: "CONNECT and TRACE are not answered" };
const hostRefusal: HeadRefusal = { status: 400, message: "a request names one host, in one Host header" };

/** Looks at a request's method and host, in which several are joined by commas. `undefined`: it may come in. */
export function refuseHead(method: string, host: string | null | undefined): HeadRefusal | undefined {
  if (refusedMethods.has(method)) return methodRefusal;
  return host === null || host === undefined || host === "" || host.includes(",") ? hostRefusal : undefined;
}
