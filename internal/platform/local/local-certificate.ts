import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import type { Clock } from "../clock/clock.ts";
import type { Component } from "../lifecycle/component.ts";
import { createLoop } from "../lifecycle/loop.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { CertificatePair } from "../tls/issuer.ts";
import { loadIssuer } from "../tls/load-issuer.ts";
import { makeFolder, readText, replaceFile } from "./files.ts";

const dayMs = 86_400_000;
/** How long the issuer is valid, whom people come to trust, and the certificate that it signs. */
const issuerLifeMs = 3650 * dayMs;
const certificateLifeMs = 90 * dayMs;
/** A certificate that has less left is replaced. */
const leftMsMin = certificateLifeMs / 2;
/** It is valid from so long ago: clocks of callers may be slow. */
const skewMs = 300_000;
/** How often it is looked at while Muin runs. */
const lookMs = 3_600_000;
/** Addresses of this machine that it names, at the most. */
const addressesMax = 32;

/** Where the files of a certificate of Muin's own lie. */
export interface LocalCertificate extends Component {
  /** The issuer's certificate: whoever is to trust Muin is given it. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/**
 * Keeps an issuer and a certificate for this machine in the folder `tls` of a data folder. `start` makes what is missing or does not
 * fit; the certificate is replaced by half of its 90 days, also while Muin runs, and when the machine's names change.
 */
export function createLocalCertificate(options: {
  /** The data folder. */
  readonly path: string;
  /** Where Muin listens. */
  readonly host: string;
  readonly clock: Clock;
  readonly log: Logger;
}): LocalCertificate {
  const { host, clock, log } = options;
  const folder = join(options.path, "tls");
  const caFile = join(folder, "ca.pem");
  const certFile = join(folder, "cert.pem");
  const keyFile = join(folder, "key.pem");
  const look = async (): Promise<void> => {
    const nowMs = clock.now();
    const known = await readPair(caFile, join(folder, "ca-key.pem"));
    const isKept = known !== undefined && isValid(known.cert, nowMs, certificateLifeMs);
    const issuer = isKept ? known : await makeIssuer(nowMs);
    if (!isKept) {
      await replaceFile(join(folder, "ca-key.pem"), issuer.key, { mode: 0o600 });
      await replaceFile(caFile, issuer.cert, { mode: 0o644 });
    }
    const names = namesOf(host);
    const pair = await readPair(certFile, keyFile);
    if (pair !== undefined && isValid(pair.cert, nowMs, leftMsMin) && isFor(pair.cert, names, issuer)) return;
    const { issueCertificate } = await loadIssuer();
    const next = await issueCertificate(issuer, { names, fromMs: nowMs - skewMs, lifeMs: certificateLifeMs });
    await replaceFile(keyFile, next.key, { mode: 0o600 });
    await replaceFile(certFile, next.cert, { mode: 0o644 });
  };
  const loop = createLoop({
    name: "local certificate",
    clock,
    everyMs: lookMs,
    work: look,
    onFailure: (error) => log.error("the certificate of this machine was not looked at", { err: error }),
  });
  return {
    name: loop.name,
    caFile,
    certFile,
    keyFile,
    start: async () => {
      await makeFolder(folder, 0o700);
      await look();
      await loop.start();
    },
    stop: () => loop.stop(),
  };
}

async function makeIssuer(nowMs: number): Promise<CertificatePair> {
  const { createIssuer } = await loadIssuer();
  return createIssuer({ name: `Muin on ${hostname()}`, fromMs: nowMs - skewMs, lifeMs: issuerLifeMs });
}

/** What callers call this machine: itself, its host name, and where it listens, or every address where it listens on all. */
function namesOf(host: string): readonly [string, ...string[]] {
  const isAny = host === "0.0.0.0" || host === "::";
  const addresses = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  const others = isAny ? addresses.filter((address) => isIP(address) > 0).slice(0, addressesMax) : [host];
  const own = ["localhost", "127.0.0.1", "::1", hostname()];
  const names = [...new Set([...own, ...others])].filter((name) => isIP(name) > 0 || /^[\w-]+(\.[\w-]+)*$/.test(name));
  return ["localhost", ...names.filter((name) => name !== "localhost")];
}

async function readPair(certFile: string, keyFile: string): Promise<CertificatePair | undefined> {
  const [cert, key] = await Promise.all([readText(certFile), readText(keyFile)]);
  return cert === undefined || key === undefined ? undefined : { cert, key };
}

function isValid(pem: string, nowMs: number, leftMs: number): boolean {
  const { validFrom, validTo } = new X509Certificate(pem);
  return Date.parse(validFrom) <= nowMs && Date.parse(validTo) - nowMs >= leftMs;
}

function isFor(pem: string, names: readonly string[], issuer: CertificatePair): boolean {
  const certificate = new X509Certificate(pem);
  if (!certificate.verify(new X509Certificate(issuer.cert).publicKey)) return false;
  return names.every(
    (name) => (isIP(name) > 0 ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined,
  );
}
