import { createHash } from "node:crypto";
import { toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  IdentifyRequestSchema,
  RecordExitRequestSchema,
  RedeemPassRequestSchema,
  VerifyRequestSchema,
  type AccessService,
  type IdentifyRequest,
  type VerifyRequest,
} from "../../../gen/muin/face/v1/access_service_pb.ts";
import { Decision, type Entry } from "../../../gen/muin/face/v1/entry_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { callerOf, type Caller } from "../../../platform/identity/caller.ts";
import type { Asked, AskedFace, DecisionRules } from "./rules.ts";

/** Of the hash of an embedding so many bytes are kept: enough that no two of a device meet by chance. */
const embeddingHashBytes = 16;
/** Names the branch for whoever sends calls on; a call need not have it. */
const branchHeader = "muin-branch";

/** Serves doors. */
export function createDecisionHandlers({
  rules,
  clock,
}: {
  readonly rules: DecisionRules;
  readonly clock: Clock;
}): Pick<ServiceImpl<typeof AccessService>, "identify" | "verify" | "redeemPass" | "recordExit"> {
  const askedOf = <M extends DescMessage>(
    schema: M,
    request: MessageShape<M> & {
      readonly branchId: string;
      readonly nonce: string;
      readonly capturedAt?: Timestamp | undefined;
    },
    context: HandlerContext,
  ): Asked => {
    const fingerprint = createHash("sha256")
      .update(schema.typeName)
      .update("\0")
      .update(toBinary(schema, request))
      .digest();
    return {
      device: deviceOf(callerOf(context)),
      branchId: request.branchId,
      branchHeader: context.requestHeader.get(branchHeader) ?? undefined,
      capturedAtMs: request.capturedAt === undefined ? 0 : timestampMs(request.capturedAt),
      nonce: request.nonce,
      fingerprint,
      arrivedAt: clock.monotonic(),
    };
  };
  const accessDecisionOf = (entry: Entry) => ({
    decision: entry.decision,
    reason: entry.reason,
    memberId: entry.decision === Decision.GRANTED ? entry.memberId : "",
    entryId: entry.entryId,
    serverTime: timestampFromMs(clock.now()),
  });
  return {
    identify: async (request, context) => ({
      accessDecision: accessDecisionOf(
        await rules.face(faceOf(request, askedOf(IdentifyRequestSchema, request, context))),
      ),
    }),

    verify: async (request, context) => ({
      accessDecision: accessDecisionOf(
        await rules.face(faceOf(request, askedOf(VerifyRequestSchema, request, context))),
      ),
    }),

    redeemPass: async (request, context) => {
      const asked = askedOf(RedeemPassRequestSchema, request, context);
      return { accessDecision: accessDecisionOf(await rules.pass({ ...asked, pass: request.pass })) };
    },

    recordExit: async (request, context) => {
      const asked = askedOf(RecordExitRequestSchema, request, context);
      const { entryId } = await rules.exit({ ...asked, memberId: request.memberId });
      return { entryId, serverTime: timestampFromMs(clock.now()) };
    },
  };
}

function faceOf(request: IdentifyRequest | VerifyRequest, asked: Asked): AskedFace {
  return {
    ...asked,
    modelId: request.modelId,
    embedding: request.embedding,
    embeddingHash: createHash("sha256").update(request.embedding).digest().subarray(0, embeddingHashBytes),
    presentationScore: request.padScore,
    memberId: "memberId" in request ? request.memberId : undefined,
  };
}

/** The device that calls: the policy of these methods admits nobody else. */
function deviceOf(caller: Caller): Asked["device"] {
  if (caller.kind !== "device") throw new Error("a door is opened by devices only");
  return caller;
}
