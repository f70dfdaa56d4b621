import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createIssuer, issueCertificate, type CertificatePair } from "../tls/issuer.ts";

const hourMs = 3_600_000;

/** An issuer of a test, and a folder for files. */
export interface TestIssuer extends Disposable {
  /** Its own certificate. */
  readonly ca: string;
  readonly caFile: string;
  /** A certificate, by default for "localhost", 127.0.0.1 and ::1, from an hour ago and for `lifeMs` (default two hours). */
  issue(options?: {
    readonly names?: readonly [string, ...string[]];
    readonly fromMs?: number;
    readonly lifeMs?: number;
  }): Promise<CertificatePair>;
  /** Writes a file into its folder and returns its path. */
  write(name: string, content: string): string;
  readonly folder: string;
}

/** Makes an issuer that nobody trusts but who is given its certificate. */
export async function createTestIssuer(): Promise<TestIssuer> {
  const folder = mkdtempSync(join(tmpdir(), "muin-certificates-"));
  chmodSync(folder, 0o755); // Processes that root starts read its files as a user of their own.
  const fromMs = Date.now() - hourMs;
  const issuer = await createIssuer({ name: "Test CA", fromMs, lifeMs: 24 * hourMs });
  const write = (name: string, content: string): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };
  return {
    ca: issuer.cert,
    caFile: write("ca.pem", issuer.cert),
    folder,
    write,
    issue: (options = {}) =>
      issueCertificate(issuer, { names: ["localhost", "127.0.0.1", "::1"], fromMs, lifeMs: 2 * hourMs, ...options }),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}
