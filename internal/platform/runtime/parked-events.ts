import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterOf, pageSizeDefault, pageTokenOf } from "../resource/page-token.ts";
import type { ParkedEvent } from "../service/outbox-view.ts";
import type { ComposedService } from "./compose-service.ts";

/** A service with its outboxes. */
type OutboxOwner = Pick<ComposedService, "info" | "outboxes">;

/** What a page token names: a service, which of its outboxes, and a place in it, "" before the first. */
const placeForm = /^([a-z0-9-]{1,64}) (\d{1,3}) (\S{0,64})$/;

/** Lists parked events of the services, by service and then in the order in which they were recorded. */
export async function listParkedEvents(
  owners: readonly OutboxOwner[],
  request: { readonly service: string; readonly pageSize: number; readonly pageToken: string },
) {
  const query = ["parked events", request.service];
  const pageSize = request.pageSize === 0 ? pageSizeDefault : request.pageSize;
  const token = afterOf(query, request.pageToken, (text) => placeForm.test(text));
  const [, tokenService = "", tokenOutbox = "0", tokenPlace = ""] = placeForm.exec(token) ?? [];
  const page: { readonly service: string; readonly outbox: number; readonly event: ParkedEvent }[] = [];
  const ordered = owners
    .filter(({ info }) => request.service === "" || info.name === request.service)
    .flatMap(({ info, outboxes }) => outboxes.map((view, outbox) => ({ service: info.name, outbox, view })))
    .toSorted((a, b) => (a.service === b.service ? a.outbox - b.outbox : a.service < b.service ? -1 : 1));
  for (const { service, outbox, view } of ordered) {
    if (page.length > pageSize) break;
    if (service < tokenService || (service === tokenService && outbox < Number(tokenOutbox))) continue;
    const after = service === tokenService && outbox === Number(tokenOutbox) ? tokenPlace : "";
    for (const event of await view.parked(after, pageSize + 1 - page.length)) page.push({ service, outbox, event });
  }
  const shown = page.slice(0, pageSize);
  const last = shown.at(-1);
  const hasMore = last !== undefined && page.length > pageSize;
  return {
    parkedEvents: shown.map(({ service, event: { id, type, topic, subject, reason, attempts, parkTimeMs } }) => ({
      service,
      topic,
      eventId: id,
      type,
      subject,
      reason,
      attempts,
      parkTime: timestampFromMs(parkTimeMs),
    })),
    nextPageToken: hasMore ? pageTokenOf(query, `${last.service} ${last.outbox} ${last.event.place}`) : "",
  };
}

/** Gives the parked events of a service, of one key or of all when `subject` is empty, back to be published. Returns how many. */
export async function redriveParkedEvents({ outboxes }: OutboxOwner, subject: string): Promise<number> {
  let redriven = 0;
  for (const outbox of outboxes) redriven += await outbox.redrive(subject === "" ? undefined : subject);
  return redriven;
}
