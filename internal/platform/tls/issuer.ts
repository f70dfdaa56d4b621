import "reflect-metadata";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";

/** A certificate and its private key (PKCS#8), in PEM. */
export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
}

/** How long a certificate is valid: from `fromMs`, for `lifeMs`. */
export interface Validity {
  readonly fromMs: number;
  readonly lifeMs: number;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const keyUses: KeyUsage[] = ["sign", "verify"];
const serverAuth = "1.3.6.1.5.5.7.3.1";
const clientAuth = "1.3.6.1.5.5.7.3.2";

/** Makes an issuer (CA) that signs certificates of servers and their callers, and no other issuers. */
export async function createIssuer(options: Validity & { readonly name: string }): Promise<CertificatePair> {
  const keys = await crypto.subtle.generateKey(algorithm, true, keyUses);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${options.name}`,
    ...datesOf(options),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: certificate.toString("pem"), key: await pemOf(keys.privateKey) };
}

/** Has an issuer sign a certificate for names: IP addresses, URIs with "://" in them, and else host names. The first is its subject. */
export async function issueCertificate(
  issuer: CertificatePair,
  options: Validity & { readonly names: readonly [string, ...string[]] },
): Promise<CertificatePair> {
  const ca = new x509.X509Certificate(issuer.cert);
  const [caKey] = x509.PemConverter.decode(issuer.key);
  if (caKey === undefined) throw new Error("the issuer's key is not in PEM");
  const keys = await crypto.subtle.generateKey(algorithm, true, keyUses);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [options.names[0]] }],
    issuer: ca.subject,
    ...datesOf(options),
    signingKey: await crypto.subtle.importKey("pkcs8", caKey, algorithm, false, ["sign"]),
    publicKey: keys.publicKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([serverAuth, clientAuth]),
      new x509.SubjectAlternativeNameExtension(options.names.map((name) => ({ type: typeOf(name), value: name }))),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(ca.publicKey),
    ],
  });
  return { cert: certificate.toString("pem"), key: await pemOf(keys.privateKey) };
}

function datesOf({ fromMs, lifeMs }: Validity): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(fromMs), notAfter: new Date(fromMs + lifeMs) };
}

function typeOf(name: string): "ip" | "url" | "dns" {
  if (isIP(name) > 0) return "ip";
  return name.includes("://") ? "url" : "dns";
}

async function pemOf(key: CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")}\n`;
}
