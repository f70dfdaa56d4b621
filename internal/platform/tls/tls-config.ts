import { text, type ConfigValues } from "../config/fields.ts";

/** Stands for a file that was not named. */
const notGiven = "";

/** With which certificate a process serves. Without one, both ports speak plain text. */
export const tlsConfig = {
  tlsCertFile: text("TLS_CERT_FILE", {
    doc: "Certificate of both ports in PEM, with those between it and its issuer. Read again when it changes. Default: no TLS.",
    default: notGiven,
  }),
  tlsKeyFile: text("TLS_KEY_FILE", {
    doc: "Private key of that certificate in PEM, without a passphrase.",
    default: notGiven,
  }),
  tlsClientCaFile: text("TLS_CLIENT_CA_FILE", {
    doc: "Certificates in PEM, one of which must have signed that of every caller. Default: callers need none.",
    default: notGiven,
  }),
} as const;

/** Whom a process trusts that it calls, its stores included. */
export const caFileField = text("CA_FILE", {
  doc: "Certificates in PEM, one of which has signed that of each store and service that is reached with TLS. Default: those of the system.",
  default: notGiven,
});

/** Values of `tlsConfig`. */
export type TlsConfig = ConfigValues<typeof tlsConfig>;
