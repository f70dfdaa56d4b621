import { isIP } from "node:net";
import { checkServerIdentity, type ConnectionOptions } from "node:tls";
import { trustOf } from "../tls/remote-urls.ts";

/** What the driver is told of a server. */
interface DriverServer {
  /** Without what the driver would misread. */
  readonly url: string;
  readonly options: { readonly ssl?: ConnectionOptions };
}

/**
 * A database's URL as the driver takes it. `sslmode=verify-full` means that the server shows a certificate for the host in the URL, signed by
 * one in the file `sslrootcert`, by default by whom the system trusts: the driver alone would not read that file.
 */
export function serverOf(url: string): DriverServer {
  const { url: bare, host, isVerified, ca } = trustOf(url);
  if (!isVerified) return { url, options: {} };
  const ssl: ConnectionOptions = {
    rejectUnauthorized: true,
    // An address is no name that a client may ask for. The driver's connection would be checked for "localhost" then.
    ...(isIP(host) > 0 ? {} : { servername: host }),
    checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate),
    ...(ca === undefined ? {} : { ca }),
  };
  return { url: bare, options: { ssl } };
}
