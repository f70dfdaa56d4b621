import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { AuditEventSchema, AuditOutcome, type AuditService } from "../../../gen/muin/identity/v1/audit_service_pb.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { listActs, type RecordedAct } from "./log.ts";
import { invalidField } from "../errors.ts";
import { pageSizeOf, principalOf } from "../request.ts";

/** Serves the audit log. */
export function createAuditHandlers(database: Database): ServiceImpl<typeof AuditService> {
  return {
    listAuditEvents: async (request, context) => {
      const pageSize = pageSizeOf(request.pageSize);
      const found = await listActs(database.sql, {
        principal: principalOf(context, request.principal, "audit.read"),
        subject: request.subject || undefined,
        action: request.action || undefined,
        outcome: outcomeOf(request.outcome),
        fromMs: request.fromTime && timestampMs(request.fromTime),
        untilMs: request.untilTime && timestampMs(request.untilTime),
        beforeId: idOfPage(request.pageToken),
        pageSize,
      });
      return {
        auditEvents: found.map(messageOf),
        nextPageToken: found.length < pageSize ? "" : (found.at(-1)?.auditId ?? ""),
      };
    },
  };
}

function idOfPage(pageToken: string): string | undefined {
  if (pageToken === "") return undefined;
  if (!/^\d{1,18}$/.test(pageToken)) throw invalidField("page_token", "must come from a previous page");
  return pageToken;
}

function outcomeOf(outcome: AuditOutcome): "DONE" | "REFUSED" | undefined {
  if (outcome === AuditOutcome.DONE) return "DONE";
  return outcome === AuditOutcome.REFUSED ? "REFUSED" : undefined;
}

function messageOf(act: RecordedAct): MessageInitShape<typeof AuditEventSchema> {
  const { auditId, createTimeMs, outcome, ...plain } = act;
  return {
    ...plain,
    auditEventId: BigInt(auditId),
    createTime: timestampFromMs(createTimeMs),
    outcome: outcome === "DONE" ? AuditOutcome.DONE : AuditOutcome.REFUSED,
  };
}
