/**
 * A process that deletes a person and halts at a step, for the test that kills it there. Arguments: URL of user's database, id of
 * the person, the step; with "apart" after it the erasure is begun in a transaction of its own, which is the mutant. Prints the step
 * when it has come to it, and "done" when the erasure is.
 */
import { create } from "@bufbuild/protobuf";
import { UserDataErasedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import type { Delivery } from "../../platform/service/delivery.ts";
import { systemClock } from "../../platform/clock/clock.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import { once } from "../../platform/events/inbox.ts";
import { createPublish } from "../../platform/events/outbox.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";
import { openDatabase } from "../../platform/postgres/open-database.ts";
import { createErasures } from "./erasure.ts";
import { createPostgresUserStore } from "./store-postgres.ts";
import type { UserStore } from "./store.ts";
import { createUserChanges } from "./user-changes.ts";

const [url = "", userId = "", step = "", apart = ""] = process.argv.slice(2);

/** Says where it is, and never returns where the test wants it to halt. */
async function reached(here: string): Promise<void> {
  if (here !== step) return;
  process.stdout.write(`${here}\n`);
  await systemClock.sleep(3_600_000);
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
const database = openDatabase({ url, applicationName: "child", poolMax: 4 });
const real = createPostgresUserStore({ database, clock: systemClock });
let begin: (() => Promise<void>) | undefined;
const store: UserStore = {
  ...real,
  beginErasure: async (tx, erasure, nowMs) => {
    if (apart === "") await real.beginErasure(tx, erasure, nowMs);
    else begin = () => database.transaction((other) => real.beginErasure(other, erasure, nowMs));
    if (apart === "") await reached("begin");
  },
  confirmErasure: async (tx, ...confirmation) => {
    await real.confirmErasure(tx, ...confirmation);
    await reached(`confirm ${confirmation[1]}`);
  },
  endErasure: async (...end) => {
    await reached("destroyed");
    await real.endErasure(...end);
  },
};
const publish = createPublish({
  source: "/muin/user",
  clock: systemClock,
  random: systemRandom,
  currentTraceparent: () => "",
});
const changes = createUserChanges({
  database,
  store,
  keys: { keyOf: () => Promise.resolve(undefined), open: () => Promise.resolve(undefined) },
  publish,
  random: systemRandom,
});
const erasures = createErasures({
  database,
  store,
  changes,
  personKeys: {
    destroyPersonKey: async ({ personId = "" }) => {
      await reached("destroy");
      await database.sql`INSERT INTO destroyed_keys (person_id) VALUES (${personId})`;
      return {} as never; // Nobody looks at it.
    },
  },
  services: ["auth", "branch-owner"],
  sweepMs: 50,
  clock: systemClock,
  random: systemRandom,
  log: silent,
});

await erasures.begin(userId, `person:${userId}`);
if (begin !== undefined) {
  await reached("begin");
  await begin();
}
await reached("begun");
for (const service of ["auth", "branch-owner"]) {
  const key = { consumer: "user/identity.user", generation: 1, eventId: `${userId} ${service}` };
  const delivery: Delivery = {
    record: undefined as never, // Not looked at.
    attempt: 1,
    signal: new AbortController().signal,
    once: (into, effect) => once(into, key, effect),
  };
  await erasures.confirmed(create(UserDataErasedSchema, { userId, service, aggregateVersion: 2n }), delivery);
  await reached(`confirmed ${service}`);
}
await erasures.sweeper.start();
while ((await real.erasure({ userId }))?.state !== "DONE") await systemClock.sleep(20);
await erasures.sweeper.stop();
process.stdout.write("done\n");
await database.stop();
