import { hkdfSync } from "node:crypto";
import { calculateJwkThumbprint, CompactSign } from "jose";
import type { Secret } from "../../../platform/config/fields.ts";
import type { StoredErasure } from "../erasure/store.ts";
import type { ReceiptKey } from "./store.ts";

/** Signs receipts. */
export interface ReceiptSigner {
  /** The key that signs. */
  key(): Promise<ReceiptKey>;
  /** The receipt of an erasure whose steps have all been taken: a JSON Web Signature, compact (RFC 7515), by EdDSA with Ed25519 (RFC 8037). */
  sign(erasure: StoredErasure, timeMs: number): Promise<string>;
}

const seedBytes = 32;
/** DER of an Ed25519 private key in PKCS #8 (RFC 8410), up to the seed. */
const pkcs8Head = Buffer.from("302e020100300506032b657004220420", "hex");

/**
 * Signs with a key that follows from the secret of the templates (HKDF-SHA-256, RFC 5869): so it stands in no store, and another secret is another key. Keys of
 * before go on verifying, since all that have signed are kept.
 */
export function createReceiptSigner(secret: Secret): ReceiptSigner {
  let made: Promise<{ readonly privateKey: CryptoKey; readonly key: ReceiptKey }> | undefined;
  const signing = () => (made ??= makeKey(secret));
  return {
    key: async () => (await signing()).key,
    sign: async (erasure, timeMs) => {
      const { privateKey, key } = await signing();
      const payload = new TextEncoder().encode(JSON.stringify(claimsOf(erasure, timeMs)));
      const header = { alg: "EdDSA", kid: key.keyId, typ: "muin-erasure-receipt+jws" };
      return new CompactSign(payload).setProtectedHeader(header).sign(privateKey);
    },
  };
}

/** What a receipt says. It names no person: whoever has it knows whose enrolment it was. */
function claimsOf(erasure: StoredErasure, timeMs: number): object {
  const { erasureId, enrolmentId, branchIds, modelId, createTimeMs, steps } = erasure;
  return {
    erasure_id: erasureId,
    enrolment_id: enrolmentId,
    branch_ids: branchIds,
    model_id: modelId,
    create_time: new Date(createTimeMs).toISOString(),
    steps: steps.map(({ step, timeMs: takenMs, detail }) => {
      const time = new Date(takenMs).toISOString();
      return detail === "" ? { step, time } : { step, time, how: detail };
    }),
    iat: Math.floor(timeMs / 1000),
  };
}

async function makeKey(secret: Secret): Promise<{ readonly privateKey: CryptoKey; readonly key: ReceiptKey }> {
  const seed = Buffer.from(hkdfSync("sha256", secret.reveal(), "", "muin face erasure receipts v1", seedBytes));
  const importSeed = (extractable: boolean): Promise<CryptoKey> =>
    crypto.subtle.importKey("pkcs8", Buffer.concat([pkcs8Head, seed]), "Ed25519", extractable, ["sign"]);
  const { x = "" } = await crypto.subtle.exportKey("jwk", await importSeed(true));
  const keyId = await calculateJwkThumbprint({ kty: "OKP", crv: "Ed25519", x });
  return { privateKey: await importSeed(false), key: { keyId, publicKey: Buffer.from(x, "base64url") } };
}
