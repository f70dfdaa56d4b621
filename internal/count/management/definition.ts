import { CountManagementService } from "../../gen/muin/count/v1/count_management_service_pb.ts";
import {
  CountCreatedSchema,
  CountDeletedSchema,
  CountUpdatedSchema,
} from "../../gen/muin/count/v1/count_info_events_pb.ts";
import { CountsChangedSchema } from "../../gen/muin/count/v1/count_value_events_pb.ts";
import { group } from "../../platform/service/consumption.ts";
import { defineService, type ServiceInfo } from "../../platform/service/define-service.ts";
import { background, onMany, rebuilder, republisher, serve } from "../../platform/service/parts.ts";
import { postgres, redis } from "../../platform/service/stores.ts";
import { createBulkhead } from "../../platform/rpc/client/create-bulkhead.ts";
import { createCountStates } from "../shared/count-states.ts";
import { createVerifyHandlers } from "./verify/handlers.ts";
import { createAuditor } from "./verify/auditor.ts";
import { countManagementConfig } from "./config.ts";
import { countManagementErrors } from "./errors.ts";
import { createCountChanges } from "./info/rules.ts";
import { createCountVerifier } from "./verify/rules.ts";
import { runsOf } from "./watch/rules.ts";
import { activateInCountsStore, createAdmission, decideInCountsStore } from "./info/counts-store.ts";
import { announceCount } from "./events.ts";
import { createInfoHandlers } from "./info/handlers.ts";
import countInfoSql from "./migrations/0001_count_info.sql" with { type: "text" };
import countWatchSql from "./migrations/0002_count_watch.sql" with { type: "text" };
import { createPostgresCountInfoStore } from "./info/store-postgres.ts";
import { createSweeper } from "./info/sweeper.ts";
import { createPostgresWatchStore } from "./watch/store-postgres.ts";

/** Changes are watched in rounds of at least so long: a round costs the same few statements however many Counts changed. */
const watchGatherMs = 100;

/** Creates, describes and deletes Counts, and watches that the sum of their changes equals their value. */
export const countManagement: ServiceInfo<"count-management"> = defineService({
  name: "count-management",
  summary: "Creates, describes and deletes Counts, and watches that the sum of their changes equals their value.",
  serves: [CountManagementService],
  calls: {},
  stores: {
    info: postgres({
      database: "count_info",
      migrations: [
        { name: "0001_count_info", sql: countInfoSql },
        { name: "0002_count_watch", sql: countWatchSql },
      ],
    }),
    counts: redis("counts", "read-write", { keys: ["count:*"] }),
  },
  publishes: [CountCreatedSchema, CountUpdatedSchema, CountDeletedSchema],
  consumes: [group(CountsChangedSchema, { onFailure: "parkKey", gatherMs: watchGatherMs })],
  config: countManagementConfig,
  errors: countManagementErrors.table,
  create: ({ stores, publish, bus, config, clock, log, metrics }) => {
    const store = createPostgresCountInfoStore({ database: stores.info, requestIdWindowMs: config.requestIdWindowMs });
    const watch = createPostgresWatchStore(stores.info);
    const states = createCountStates(stores.counts, config);
    const changes = createCountChanges({
      store,
      decide: (change) => decideInCountsStore(states, change),
      activate: (change) => activateInCountsStore(states, change),
      admit: createAdmission(stores.counts, config),
      announce: (tx, change, record) => announceCount(publish, tx, change.operation, record),
      turns: createBulkhead({
        name: "changes of Counts",
        concurrentMax: atOnceMax,
        queueMax: waitingMax,
        metrics,
      }),
      log,
    });
    const verifier = createCountVerifier({ watch, states });
    const failures = metrics.counter({
      name: "count_watch_failures_total",
      help: "Counts whose change events were first seen to miss a revision, or to add up to another value.",
      labels: ["kind"],
    });
    return [
      serve(CountManagementService, {
        ...createInfoHandlers({ store, changes }),
        ...createVerifyHandlers({ verifier }),
      }),
      onMany(CountsChangedSchema, async (_, delivery) => {
        let found: Awaited<ReturnType<typeof watch.advance>> = [];
        await delivery.once(stores.info, async (tx, events) => {
          found = await watch.advance(tx, runsOf(events.flatMap(({ changes }) => changes)));
        });
        for (const { countId, kind, revision } of found) {
          failures.add(1, { kind });
          log.error("the change events of a Count do not add up", { count_id: countId, kind, revision: `${revision}` });
        }
      }),
      background(createSweeper({ store, changes, clock, log, ageMs: config.sweepAgeMs })),
      background(createAuditor({ verifier, bus, clock, log, metrics })),
      republisher([CountUpdatedSchema, CountDeletedSchema], async () => {
        let total = 0;
        for (let after = ""; ;) {
          const { last, announced } = await store.republish(after, republishPage, (tx, record) =>
            announceCount(publish, tx, record.state === "DELETED" ? "DELETE" : "UPDATE", record),
          );
          total += announced;
          if (last === "") return total;
          after = last;
        }
      }),
      rebuilder([CountsChangedSchema], () => verifier.restartWatch()),
    ];
  },
});

/** Mutations of one process that are worked on at a time: fewer than its database has connections. */
const atOnceMax = 6;
/** Mutations of one process that may wait for their turn. */
const waitingMax = 4096;
/** Counts that are announced again in one transaction. */
const republishPage = 500;
