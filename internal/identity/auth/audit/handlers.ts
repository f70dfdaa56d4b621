import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  AuditOutcome,
  type AuditEventSchema,
  type AuditService,
} from "../../../gen/muin/identity/v1/audit_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import type { AuditLog } from "./rules.ts";
import type { AuditRecord } from "./store.ts";

/** Serves the audit log. */
export function createAuditHandlers(log: AuditLog): ServiceImpl<typeof AuditService> {
  return {
    listAuditEvents: async (request, context) => {
      const filter = {
        principal: request.principal || undefined,
        subject: request.subject || undefined,
        action: request.action || undefined,
        outcome: outcomeOf(request.outcome),
        fromMs: request.fromTime && timestampMs(request.fromTime),
        untilMs: request.untilTime && timestampMs(request.untilTime),
      };
      const { page, nextPageToken } = orThrow(await log.list(callerOf(context), filter, request));
      return { auditEvents: page.map(messageOf), nextPageToken };
    },
  };
}

function outcomeOf(outcome: AuditOutcome): "DONE" | "REFUSED" | undefined {
  if (outcome === AuditOutcome.DONE) return "DONE";
  return outcome === AuditOutcome.REFUSED ? "REFUSED" : undefined;
}

function messageOf(record: AuditRecord): MessageInitShape<typeof AuditEventSchema> {
  const { auditId, createTimeMs, outcome, ...plain } = record;
  return {
    ...plain,
    auditEventId: BigInt(auditId),
    createTime: timestampFromMs(createTimeMs),
    outcome: outcome === "DONE" ? AuditOutcome.DONE : AuditOutcome.REFUSED,
  };
}
