import { expect, test } from "bun:test";
import { join } from "node:path";
import { recordingLog } from "../testdata/probe-service.ts";
import { importMutant } from "../../testing/mutant.ts";
import { createUnreadForwarding } from "./unread-forwarding.ts";

const hourMs = 3_600_000;

/** Lines in the log, and whether there is a notice, after headers that come for three hours and then no more. */
function watched(create: typeof createUnreadForwarding) {
  const lines: { message: string; fields: unknown }[] = [];
  let nowMs = 0;
  const clock = { monotonic: () => nowMs };
  const forwarding = create({ trustedHops: 0, clock, log: recordingLog(lines) });
  for (let call = 0; call < 1000; call++) {
    forwarding.look((name) => (name === "x-forwarded-for" ? "192.0.2.1" : undefined));
    nowMs += 0.003 * hourMs;
  }
  const isNamed = forwarding.notice() !== undefined;
  nowMs += hourMs;
  return { logged: lines.length, isNamed, isNamedLater: forwarding.notice() !== undefined };
}

test("a proxy that nobody told of is logged once an hour, and shown until an hour after its last request", () => {
  expect(watched(createUnreadForwarding)).toEqual({ logged: 3, isNamed: true, isNamedLater: false });
});

test("mutant: without the pause each call writes a line", async () => {
  const mutant = await importMutant<{ createUnreadForwarding: typeof createUnreadForwarding }>(
    join(import.meta.dir, "unread-forwarding.ts"),
    "if (nowMs - loggedAtMs < periodMs) return;",
    "",
  );
  expect(watched(mutant.createUnreadForwarding).logged).toBe(1000);
});
