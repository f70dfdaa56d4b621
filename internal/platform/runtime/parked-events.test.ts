import { expect, test } from "bun:test";
import type { OutboxView, ParkedEvent } from "../service/outbox-view.ts";
import type { ComposedService } from "./compose-service.ts";
import { listParkedEvents, redriveParkedEvents } from "./parked-events.ts";

/** A service whose outboxes hold so many parked events each, all of one key per outbox. */
function owner(name: string, ...counts: readonly number[]): Pick<ComposedService, "info" | "outboxes"> {
  const outboxes = counts.map((count, outbox): OutboxView => {
    const events = Array.from({ length: count }, (_, place): ParkedEvent => ({
      place: String(place + 1),
      id: `${name}-${outbox}-${place + 1}`,
      type: "muin.test.v1.Happened",
      topic: "test.topic",
      subject: `key-${outbox}`,
      reason: place === 0 ? "too large" : "",
      attempts: place === 0 ? 1 : 0,
      parkTimeMs: 1,
    }));
    return {
      read: () => Promise.resolve({ depth: 0, ageMs: 0, parked: count }),
      parked: async (after, limit) => events.filter(({ place }) => Number(place) > Number(after)).slice(0, limit),
      redrive: async (subject) => events.filter((event) => subject === undefined || event.subject === subject).length,
    };
  });
  return { info: { name } as ComposedService["info"], outboxes };
}

const owners = [owner("user", 3), owner("auth", 2, 2), owner("count-read"), owner("branch-owner", 1)];
const all = ["auth-0-1", "auth-0-2", "auth-1-1", "auth-1-2", "branch-owner-0-1", "user-0-1", "user-0-2", "user-0-3"];

test.each([1, 2, 3, 7, 8, 100])(
  "parked events are listed by service and place, each once, by pages of %d",
  async (pageSize) => {
    const pages: string[][] = [];
    let pageToken = "";
    do {
      const page = await listParkedEvents(owners, { service: "", pageSize, pageToken });
      pages.push(page.parkedEvents.map(({ eventId }) => eventId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(pages.flat()).toEqual(all);
    expect(pages.slice(0, -1).every((page) => page.length === pageSize)).toBe(true);
    expect(pages.at(-1)).not.toEqual([]);
  },
);

test("those of one service, by pages that belong to it", async () => {
  const { parkedEvents, nextPageToken } = await listParkedEvents(owners, {
    service: "user",
    pageSize: 2,
    pageToken: "",
  });
  expect(parkedEvents.map(({ eventId, attempts, reason }) => [eventId, attempts, reason])).toEqual([
    ["user-0-1", 1, "too large"],
    ["user-0-2", 0, ""],
  ]);
  const rest = await listParkedEvents(owners, { service: "user", pageSize: 2, pageToken: nextPageToken });
  expect(rest).toMatchObject({ parkedEvents: [{ eventId: "user-0-3" }], nextPageToken: "" });
  const foreign = listParkedEvents(owners, { service: "", pageSize: 2, pageToken: nextPageToken });
  expect(await foreign.catch((error: unknown) => error)).toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
});

test("those of all outboxes of a service are redriven, or of one key", async () => {
  const [, auth] = owners;
  if (auth === undefined) throw new Error("there is no auth");
  expect(await redriveParkedEvents(auth, "")).toBe(4);
  expect(await redriveParkedEvents(auth, "key-1")).toBe(2);
});
