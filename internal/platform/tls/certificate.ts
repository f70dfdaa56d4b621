import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { ConfigError, variableOf } from "../config/read-config.ts";
import { tlsConfig, type TlsConfig } from "./tls-config.ts";

/** What a server shows to those who connect, in PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  /** One of these must have signed the certificate of whoever connects. Absent: none is asked for. */
  readonly ca?: string;
  /** When it ends, and how long it is valid in all, in milliseconds. */
  readonly notAfterMs: number;
  readonly lifeMs: number;
}

/** What certificates are measured by. */
export interface CertificateRules {
  readonly nowMs: number;
  /** Services that run here: a certificate that names others as `spiffe://muin/<service>`, and none of them, is refused. */
  readonly services: readonly string[];
}

const pemBlock = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;
const spiffePrefix = "URI:spiffe://muin/";

const variables = {
  cert: variableOf("", tlsConfig.tlsCertFile.name),
  key: variableOf("", tlsConfig.tlsKeyFile.name),
  clientCa: variableOf("", tlsConfig.tlsClientCaFile.name),
};

/**
 * The certificate that settings name, checked before use; `undefined` when they name none. Throws `ConfigError`, with every problem, for
 * a file that cannot be read or holds something else, a certificate that is not valid now, a key that is not its own, and a name of
 * another service.
 */
export function readCertificate(config: TlsConfig, rules: CertificateRules): Certificate | undefined {
  const { tlsCertFile, tlsKeyFile, tlsClientCaFile } = config;
  if (tlsCertFile === "" && tlsKeyFile === "" && tlsClientCaFile === "") return undefined;
  const problems: string[] = [];
  const attempt = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      return undefined;
    }
  };
  const cert = attempt(() => readCertificates(variables.cert, tlsCertFile, rules.nowMs));
  const key = attempt(() => readKey(variables.key, tlsKeyFile));
  const ca = attempt(() =>
    tlsClientCaFile === "" ? undefined : readCertificates(variables.clientCa, tlsClientCaFile, rules.nowMs),
  );
  const [leaf] = cert?.certificates ?? [];
  if (leaf !== undefined) problems.push(...problemsOf(leaf, key?.key, tlsCertFile, tlsKeyFile, rules.services));
  if (problems.length > 0 || cert === undefined || key === undefined || leaf === undefined) {
    throw new ConfigError(problems);
  }
  const notAfterMs = Date.parse(leaf.validTo);
  return {
    cert: cert.pem,
    key: key.pem,
    ...(ca === undefined ? {} : { ca: ca.pem }),
    notAfterMs,
    lifeMs: notAfterMs - Date.parse(leaf.validFrom),
  };
}

/** Certificates of a file that a setting names, in PEM: issuers to trust. Throws `ConfigError` as `readCertificate` does. */
export function readIssuers(variable: string, path: string, nowMs: number): string {
  return readCertificates(variable, path, nowMs).pem;
}

function problemsOf(
  leaf: X509Certificate,
  key: KeyObject | undefined,
  certFile: string,
  keyFile: string,
  services: readonly string[],
): readonly string[] {
  const problems: string[] = [];
  if (key !== undefined && !leaf.checkPrivateKey(key)) {
    problems.push(
      `${variables.key} names ${keyFile}, which is not the key of the certificate in ${certFile}: give the two that belong together`,
    );
  }
  const names = (leaf.subjectAltName ?? "")
    .split(", ")
    .filter((name) => name.startsWith(spiffePrefix))
    .map((name) => name.slice(spiffePrefix.length));
  if (names.length > 0 && !names.some((name) => services.includes(name))) {
    problems.push(
      `${variables.cert} names ${certFile}, the certificate of ${names.join(", ")}: give one of ${services.join(", ")}`,
    );
  }
  return problems;
}

function readCertificates(
  variable: string,
  path: string,
  nowMs: number,
): { readonly pem: string; readonly certificates: readonly X509Certificate[] } {
  const pem = readText(variable, path);
  const certificates = (pem.match(pemBlock) ?? []).map((block) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw new ConfigError([`${variable} names ${path}, where a certificate is damaged`]);
    }
  });
  if (certificates.length === 0) {
    throw new ConfigError([`${variable} names ${path}, which holds no certificate in PEM`]);
  }
  for (const { validFrom, validTo } of certificates) {
    const from = new Date(validFrom);
    const to = new Date(validTo);
    if (to.getTime() <= nowMs) {
      throw new ConfigError([
        `${variable} names ${path}, where a certificate ended on ${to.toISOString()}: give one that is valid`,
      ]);
    }
    if (from.getTime() > nowMs) {
      throw new ConfigError([
        `${variable} names ${path}, where a certificate begins on ${from.toISOString()}: give one that is valid, or set the clock right`,
      ]);
    }
  }
  return { pem, certificates };
}

function readKey(variable: string, path: string): { readonly pem: string; readonly key: KeyObject } {
  const pem = readText(variable, path);
  try {
    return { pem, key: createPrivateKey(pem) };
  } catch {
    throw new ConfigError([`${variable} names ${path}, which holds no private key in PEM without a passphrase`]);
  }
}

function readText(variable: string, path: string): string {
  if (path === "") {
    throw new ConfigError([
      `${variable} is missing: certificate (${variables.cert}) and key (${variables.key}) go together`,
    ]);
  }
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError([`${variable} names ${path}, which cannot be read (${code ?? "unknown"})`]);
  }
}
