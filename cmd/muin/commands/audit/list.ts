import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AuditEventSchema,
  AuditOutcome,
  AuditService,
} from "../../../../internal/gen/muin/identity/v1/audit_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { instantText } from "../../terminal/time-text.ts";
import { momentMs, namesOf } from "../../terminal/values.ts";

const outcomes = { done: AuditOutcome.DONE, refused: AuditOutcome.REFUSED } as const;

/** `muin audit list`. */
export const list = remoteCommand({
  name: "list",
  description: "list who did what, newest first; without the scope audit.read, your own acts",
  options: {
    principal: { value: "who", help: 'only acts of this one, such as "person:<id>" or "api_key:<id>"' },
    subject: { value: "what", help: 'only what was done to this, such as "session:<id>"' },
    action: { value: "action", help: 'only this, such as "sign_in"', parse: (text: string) => text.toUpperCase() },
    outcome: { value: "outcome", help: "only what was done, or what was refused", choices: namesOf(outcomes) },
    from: { value: "time", help: "not before, such as 2026-12-01 or 2026-12-01T09:00:00+09:00", parse: momentMs },
    until: { value: "time", help: "before", parse: momentMs },
  },
  examples: [
    "muin audit list --outcome refused --from 2026-12-01",
    "muin audit list --principal person:0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33 --limit 1000 --json",
  ],
  read: async ({ principal = "", subject = "", action = "", outcome, from, until }, { client }, page) => {
    const filter = {
      principal,
      subject,
      action,
      outcome: outcome === undefined ? AuditOutcome.UNSPECIFIED : outcomes[outcome],
      ...(from === undefined ? {} : { fromTime: timestampFromMs(from) }),
      ...(until === undefined ? {} : { untilTime: timestampFromMs(until) }),
    };
    const { auditEvents, nextPageToken } = await client(AuditService).listAuditEvents({ ...filter, ...page });
    return { entries: auditEvents, nextPageToken };
  },
  json: plain(AuditEventSchema),
  columns: {
    TIME: ({ createTime }) => instantText(createTime),
    ACTION: ({ action }) => action,
    OUTCOME: ({ outcome }) => (outcome === AuditOutcome.DONE ? "done" : "refused"),
    BY: ({ principal }) => principal,
    TO: ({ subject }) => subject,
    FROM: ({ address }) => address,
    DETAIL: ({ detail }) => detail,
  },
  none: "there are no such acts",
  limitDefault: 100,
});
