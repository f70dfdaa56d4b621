import type { ServiceImpl } from "@connectrpc/connect";
import type { EnrolmentService } from "../../../gen/muin/face/v1/enrolment_service_pb.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { toFaceErasure } from "./message.ts";
import type { ReceiptSigner } from "../receipt/signer.ts";
import type { ReceiptKeyStore } from "../receipt/store.ts";
import type { ErasureRules } from "./rules.ts";

/** Erases faces, tells how far it is, and by which keys receipts are verified. */
export function createErasureHandlers(deps: {
  readonly rules: Pick<ErasureRules, "erase" | "read">;
  readonly database: Pick<Database, "sql">;
  readonly receiptKeys: Pick<ReceiptKeyStore, "list">;
  readonly signer: Pick<ReceiptSigner, "key">;
}): Pick<ServiceImpl<typeof EnrolmentService>, "eraseFace" | "getFaceErasure" | "listReceiptKeys"> {
  const { rules, database, receiptKeys, signer } = deps;
  return {
    eraseFace: async ({ enrolmentId }, context) => ({
      erasure: toFaceErasure(orThrow(await rules.erase(callerOf(context), enrolmentId, context.signal))),
    }),

    getFaceErasure: async ({ erasureId, enrolmentId }, context) => {
      if ((erasureId === "") === (enrolmentId === "")) {
        throw refuseField("erasure_id", "must be given, or enrolment_id instead of it").error;
      }
      return { erasure: toFaceErasure(orThrow(await rules.read(callerOf(context), { erasureId, enrolmentId }))) };
    },

    listReceiptKeys: async () => {
      const own = await signer.key();
      const signed = await receiptKeys.list(database.sql);
      const keys = signed.some(({ keyId }) => keyId === own.keyId) ? signed : [...signed, own];
      return {
        keys: keys.map(({ keyId, publicKey }) => ({
          kty: "OKP",
          crv: "Ed25519",
          x: Buffer.from(publicKey).toString("base64url"),
          kid: keyId,
          alg: "EdDSA",
          use: "sig",
        })),
      };
    },
  };
}
