/**
 * A process that deletes a person and halts at a step, for the test that kills it there. Arguments: URL of user's database, id of
 * the person, the step; with "apart" after it the erasure is added in a transaction of its own, which is the mutant. Prints the step
 * when it has come to it, and "done" when the erasure is.
 */
import { create } from "@bufbuild/protobuf";
import { UserDataErasedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { once } from "../../../platform/events/inbox.ts";
import { createPublish } from "../../../platform/events/outbox.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { openDatabase } from "../../../platform/postgres/open-database.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { createActing } from "../person/acting.ts";
import { postgresPersonStore } from "../person/store-postgres.ts";
import { postgresPreferenceStore } from "../preference/store-postgres.ts";
import { personOf } from "../user-fixture.ts";
import { createErasureRules } from "./rules.ts";
import { postgresErasureStore } from "./store-postgres.ts";
import type { ErasureStore } from "./store.ts";

const [url = "", userId = "", step = "", apart = ""] = process.argv.slice(2);

/** Says where it is, and never returns where the test wants it to halt. */
async function reached(here: string): Promise<void> {
  if (here !== step) return;
  process.stdout.write(`${here}\n`);
  await systemClock.sleep(3_600_000);
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
const database = openDatabase({ url, applicationName: "child", poolMax: 4 });
let addApart: (() => Promise<void>) | undefined;
const erasures: ErasureStore = {
  ...postgresErasureStore,
  add: async (tx, erasure) => {
    if (apart === "") await postgresErasureStore.add(tx, erasure);
    else addApart = () => database.transaction((other) => postgresErasureStore.add(other, erasure));
    if (apart === "") await reached("begin");
  },
  confirm: async (tx, ...confirmation) => {
    await postgresErasureStore.confirm(tx, ...confirmation);
    await reached(`confirm ${confirmation[1]}`);
  },
  end: async (...end) => {
    await reached("destroyed");
    await postgresErasureStore.end(...end);
  },
};
const rules = createErasureRules({
  database,
  people: postgresPersonStore,
  acting: createActing({ scopes: { getHeldScopes: () => Promise.reject(new Error("they delete themself")) } }),
  preferences: postgresPreferenceStore,
  erasures,
  personKeys: {
    destroyPersonKey: async ({ personId = "" }) => {
      await reached("destroy");
      await database.sql`INSERT INTO destroyed_keys (person_id) VALUES (${personId})`;
      return {} as never; // Nobody looks at it.
    },
  },
  publish: createPublish({
    source: "/muin/user",
    clock: systemClock,
    random: systemRandom,
    currentTraceparent: () => "",
  }),
  services: ["auth", "branch-owner"],
  sweepMs: 50,
  clock: systemClock,
  random: systemRandom,
  log: silent,
});

const begun = orThrow(await rules.begin(userId, personOf(userId)));
if (addApart !== undefined) {
  await reached("begin");
  await addApart();
}
await reached("begun");
for (const service of ["auth", "branch-owner"]) {
  const key = { consumer: `user/erasure.${service}`, generation: 1, eventId: `${userId} ${service}` };
  const delivery: Delivery = {
    record: undefined as never, // Not looked at.
    attempt: 1,
    signal: new AbortController().signal,
    once: (into, effect) => once(into, key, effect),
  };
  await rules.confirmed(create(UserDataErasedSchema, { userId, service, aggregateVersion: 2n }), delivery);
  await reached(`confirmed ${service}`);
}
await rules.sweeper.start();
while ((await postgresErasureStore.get(database.sql, begun.erasureId))?.state !== "DONE") await systemClock.sleep(20);
await rules.sweeper.stop();
process.stdout.write("done\n");
await database.stop();
