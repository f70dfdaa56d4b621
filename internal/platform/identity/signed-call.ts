import { createHash, createPrivateKey, createPublicKey, sign, type KeyObject } from "node:crypto";

/**
 * How a device signs a call. The header `muin-signature` is
 *
 *     v1,t=<time>,n=<nonce>,s=<signature>
 *
 * - time: when the call is made, in milliseconds since the Unix epoch, 13 digits; at most 30 s from the server's clock;
 * - nonce: 16 to 64 characters of `A-Z a-z 0-9 _ -`, never used before with this key (16 random bytes in base64url serve);
 * - signature: Ed25519 (RFC 8032) in base64url without padding, 86 characters, by the device's key over the UTF-8 bytes of five
 *   lines joined with "\n" and none after the last:
 *
 *       muin-signature-v1
 *       <method>          the RPC's path, such as /muin.identity.v1.DeviceService/IssueDeviceToken, over REST too
 *       <body hash>       SHA-256 of the request message's bytes as sent, in lower-case hex
 *       <time>            as in the header
 *       <nonce>           as in the header
 *
 * The bytes are those of the HTTP body over Connect and REST, and of the one message without its 5-byte frame over gRPC and
 * gRPC-Web. What no signature covers may not change a call: signed calls are unary, uncompressed, not GET, have no variables in
 * their path, no query and no header Idempotency-Key.
 */
export const signatureHeader = "muin-signature";

/** How far a signature's time may be from the server's clock, either way. */
export const signatureSkewMs = 30_000;

/** A public key that signs calls. */
export interface DeviceKey {
  /** The key's 32 bytes, base64url without padding: the `x` of its JSON Web Key (RFC 8037). */
  readonly x: string;
  readonly key: KeyObject;
}

/** What a signature covers. */
export interface SignedCall {
  /** The RPC's path, such as "/muin.identity.v1.DeviceService/IssueDeviceToken". */
  readonly method: string;
  /** The request message's bytes, as sent. */
  readonly body: Uint8Array;
  readonly timeMs: number;
  readonly nonce: string;
}

/** The bytes that are signed. */
export function signedText({ method, body, timeMs, nonce }: SignedCall): Uint8Array {
  const hash = createHash("sha256").update(body).digest("hex");
  return Buffer.from(`muin-signature-v1\n${method}\n${hash}\n${timeMs}\n${nonce}`);
}

/** The header of a call, signed with a device's private key. */
export function signCall(privateKey: KeyObject, call: SignedCall): string {
  const signature = sign(null, signedText(call), privateKey).toString("base64url");
  return `v1,t=${call.timeMs},n=${call.nonce},s=${signature}`;
}

/** A device's key from its 32 public bytes in base64url. Throws for other lengths. */
export function deviceKeyOf(x: string): DeviceKey {
  return { x, key: createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" }) };
}

/** A private key from the text that a device keeps, PKCS #8 in PEM, with its public part. Throws for any other key. */
export function privateDeviceKeyOf(pem: string): { readonly privateKey: KeyObject; readonly x: string } {
  const privateKey = createPrivateKey(pem);
  const { crv, x } = createPublicKey(privateKey).export({ format: "jwk" });
  if (crv !== "Ed25519" || x === undefined) throw new Error("not an Ed25519 key");
  return { privateKey, x };
}
