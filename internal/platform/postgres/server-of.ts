import { isIP } from "node:net";
import { checkServerIdentity, type ConnectionOptions } from "node:tls";
import { trustOf } from "../tls/remote-urls.ts";

/** PostgreSQL's own. */
const portDefault = 5432;

/** What the driver is told of a server. */
interface DriverServer {
  /** Without what the driver would misread. */
  readonly url: string;
  readonly options: { readonly host?: string; readonly port?: number; readonly ssl?: ConnectionOptions };
}

/**
 * A database's URL as the driver takes it. `sslmode=verify-full` means that the server shows a certificate for the host in the URL, signed by
 * one in the file `sslrootcert`, by default by whom the system trusts: the driver alone would not read that file. It is told the host and the port
 * as they were judged: it reads URLs in a way of its own, by which `u:a@other,x@127.0.0.1` is `other`, and takes what is missing from the environment.
 */
export function serverOf(url: string): DriverServer {
  const { url: bare, host, isVerified, ca } = trustOf(url);
  const server = addressOf(url);
  if (!isVerified) return { url, options: server };
  const ssl: ConnectionOptions = {
    rejectUnauthorized: true,
    // An address is no name that a client may ask for. The driver's connection would be checked for "localhost" then.
    ...(isIP(host) > 0 ? {} : { servername: host }),
    checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate),
    ...(ca === undefined ? {} : { ca }),
  };
  return { url: bare, options: { ...server, ssl } };
}

/** Hosts and ports of a URL, as lists: the driver takes them, its types do not, and a text it would split at each ":". None for one without a host. */
function addressOf(url: string): Pick<DriverServer["options"], "host" | "port"> {
  const { hostname, port } = new URL(url);
  if (hostname === "") return {};
  const host = hostname.replaceAll(/[[\]]/g, "").split(",");
  const ports = host.map(() => (port === "" ? portDefault : Number(port)));
  return { host, port: ports } as unknown as { readonly host: string; readonly port: number };
}
