import { toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Consent } from "../../../gen/muin/face/v1/enrolment_events_pb.ts";
import {
  AddEmbeddingRequestSchema,
  EnrolFaceRequestSchema,
  ReplaceFaceRequestSchema,
  type EnrolmentService,
} from "../../../gen/muin/face/v1/enrolment_service_pb.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import type { InstanceName } from "../../shared/instances.ts";
import { callWaitMs, type AppliedWait } from "../erasure/applied.ts";
import { mlopsErrors } from "../errors.ts";
import { toEnrolment } from "./message.ts";
import type { EnrolmentRules } from "./rules.ts";
import type { RecordedConsent } from "./store.ts";

/** Serves enrolments. */
export function createEnrolmentHandlers(deps: {
  readonly rules: EnrolmentRules;
  readonly applied: Pick<AppliedWait, "waitUntilAllApplied">;
}): Pick<
  ServiceImpl<typeof EnrolmentService>,
  "enrolFace" | "addEmbedding" | "replaceFace" | "getEnrolment" | "listEnrolments"
> {
  const { rules, applied } = deps;
  return {
    enrolFace: async (request, context) => {
      const { branchIds, memberId, modelId, embeddings, overrideDuplicate, requestId } = request;
      const fingerprint = fingerprintOf(EnrolFaceRequestSchema, request);
      const consent = consentOf(request.consent);
      const asked = { branchIds, memberId, modelId, embeddings, consent, overrideDuplicate, requestId, fingerprint };
      return { enrolment: orThrow(await rules.enrol(callerOf(context), asked)) };
    },

    addEmbedding: async (request, context) => {
      const { enrolmentId, embedding, overrideDuplicate, requestId } = request;
      const fingerprint = fingerprintOf(AddEmbeddingRequestSchema, request);
      const asked = { embeddings: [embedding], overrideDuplicate, requestId, fingerprint };
      return { enrolment: orThrow(await rules.add(callerOf(context), enrolmentId, asked)) };
    },

    replaceFace: async (request, context) => {
      const { enrolmentId, embeddings, overrideDuplicate, requestId } = request;
      const fingerprint = fingerprintOf(ReplaceFaceRequestSchema, request);
      const asked = { embeddings, overrideDuplicate, requestId, fingerprint };
      const enrolment = orThrow(await rules.replace(callerOf(context), enrolmentId, asked));
      const behind = await waitForDoors(applied, context.signal);
      return { enrolment, pendingInstances: behind.map(({ instanceId }) => instanceId) };
    },

    getEnrolment: async ({ enrolmentId }, context) => ({
      enrolment: toEnrolment(orThrow(await rules.get(callerOf(context), enrolmentId))),
    }),

    listEnrolments: async ({ branchId, memberId, pageSize, pageToken }, context) => {
      const query = { branchId, memberId };
      const { page, nextPageToken } = await pageOf(
        ["enrolments", query],
        { pageToken, pageSize },
        async (after, limit) => orThrow(await rules.list(callerOf(context), query, after, limit)),
        ({ enrolmentId }) => enrolmentId,
      );
      return { enrolments: page.map(toEnrolment), nextPageToken };
    },
  };
}

/** SHA-256 of what a request asks for. */
function fingerprintOf<M extends DescMessage>(schema: M, request: MessageShape<M>): Uint8Array {
  return new Uint8Array(
    new Bun.CryptoHasher("sha256").update(schema.typeName).update(toBinary(schema, request)).digest(),
  );
}

/** Throws CONSENT_REQUIRED for one that says neither to what nor when. */
function consentOf(consent: Consent | undefined): Omit<RecordedConsent, "recorder"> {
  const { textVersion = "", time } = consent ?? {};
  if (textVersion === "" || time === undefined) throw mlopsErrors.consentRequired();
  return { textVersion, timeMs: timestampMs(time) };
}

/** Waits until no door decides by what was before. Who cannot know throws OUTCOME_UNKNOWN: asked again with the same request_id, it waits again. */
async function waitForDoors(
  applied: Pick<AppliedWait, "waitUntilAllApplied">,
  signal: AbortSignal,
): Promise<readonly InstanceName[]> {
  try {
    return await applied.waitUntilAllApplied(callWaitMs, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw mlopsErrors.outcomeUnknown({ cause: error });
  }
}
