import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AccessService, EntryFilter } from "../../../gen/muin/face/v1/access_service_pb.ts";
import type { Entry } from "../../../gen/muin/face/v1/entry_pb.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { afterOf, pageOf, pageTokenOf } from "../../../platform/resource/page-token.ts";
import { accessErrors } from "../errors.ts";
import type { EntryRules } from "./rules.ts";
import type { EntryPlace, EntryQuery } from "./store.ts";

/** Serves the log of entries. */
export function createEntryHandlers({
  rules,
}: {
  readonly rules: EntryRules;
}): Pick<ServiceImpl<typeof AccessService>, "getEntry" | "listEntries" | "watchEntries"> {
  return {
    getEntry: async ({ entryId }, context) => ({ entry: orThrow(await rules.get(callerOf(context), entryId)) }),

    listEntries: async (request, context) => {
      const query = orThrow(await rules.allowed(callerOf(context), queryOf(request.filter)));
      const { page, nextPageToken } = await pageOf(
        ["entries", query],
        request,
        (after, limit) => rules.list(query, after === "" ? undefined : placeOf(after), limit),
        placeText,
        (text) => placePattern.test(text),
      );
      return { entries: [...page], nextPageToken };
    },

    watchEntries: async function* ({ resumeToken, filter }, context) {
      const query = queryOf(filter);
      const after = resumeToken === "" ? undefined : sequenceOf(query, resumeToken);
      for await (const { entries, position } of rules.watch(callerOf(context), query, after, context.signal)) {
        yield { entries: [...entries], resumeToken: pageTokenOf(watchOf(query), String(position)) };
      }
    },
  };
}

function queryOf(filter: EntryFilter | undefined): EntryQuery {
  const { fromTime, untilTime } = filter ?? {};
  return {
    branchId: filter?.branchId || undefined,
    memberId: filter?.memberId || undefined,
    deviceId: filter?.deviceId || undefined,
    decision: filter?.decision || undefined,
    reason: filter?.reason || undefined,
    kind: filter?.kind || undefined,
    fromMs: fromTime && timestampMs(fromTime),
    untilMs: untilTime && timestampMs(untilTime),
  };
}

/** The place of an entry as a page token has it. */
function placeText({ decideTime, entryId }: Entry): string {
  return `${decideTime === undefined ? 0 : timestampMs(decideTime)}/${entryId}`;
}

const placePattern = /^\d{1,15}\/[!-~]{1,64}$/;

function placeOf(text: string): EntryPlace {
  const end = text.indexOf("/");
  return { decideTimeMs: Number(text.slice(0, end)), entryId: text.slice(end + 1) };
}

const watchOf = (query: EntryQuery): readonly unknown[] => ["watch", query];

/** What a resume token says. Throws INVALID_ARGUMENT for one of another query, and for a made-up one. */
function sequenceOf(query: EntryQuery, resumeToken: string): bigint {
  try {
    return BigInt(afterOf(watchOf(query), resumeToken, (text) => /^\d{1,18}$/.test(text)));
  } catch (cause) {
    throw accessErrors.resumeTokenInvalid({
      cause,
      violations: [{ field: "resume_token", description: "belongs to another query" }],
    });
  }
}
