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
import { countManagementConfig } from "./config.ts";
import { countManagementErrors } from "./errors.ts";
import { announceCount, announceCreated } from "./events.ts";
import {
  activateInCountsStore,
  createAdmission,
  createInCountsStore,
  decideInCountsStore,
} from "./info/counts-store.ts";
import { createCreationHandlers } from "./info/creation-handlers.ts";
import { type CreationLimits, createCreationQueue } from "./info/creation-queue.ts";
import { createCreations } from "./info/creations.ts";
import { createInfoHandlers } from "./info/handlers.ts";
import { republishInfos } from "./info/republish.ts";
import { createCountChanges } from "./info/rules.ts";
import { createPostgresInfoStore } from "./info/store-postgres.ts";
import { createSweeper } from "./info/sweeper.ts";
import { migrations } from "./migrations.ts";
import { createPostgresRequestStore } from "./request/store-postgres.ts";
import { createAuditor } from "./verify/auditor.ts";
import { createVerifyHandlers } from "./verify/handlers.ts";
import { createCountVerifier } from "./verify/rules.ts";
import { createWatchHandler } from "./watch/handlers.ts";
import { readChanges } from "./watch/read-changes.ts";
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
    info: postgres({ database: "count_info", migrations }),
    counts: redis("counts", "read-write", { keys: ["count:*"] }),
  },
  publishes: [CountCreatedSchema, CountUpdatedSchema, CountDeletedSchema],
  republishes: [CountUpdatedSchema, CountDeletedSchema],
  consumes: [group(CountsChangedSchema, { onFailure: "parkKey", gatherMs: watchGatherMs })],
  config: countManagementConfig,
  errors: countManagementErrors.table,
  personalData: "none",
  create: ({ stores, publish, leases, config, clock, log, metrics }) => {
    const infos = createPostgresInfoStore(stores.info);
    const requests = createPostgresRequestStore({ sql: stores.info.sql, windowMs: config.requestIdWindowMs });
    const watch = createPostgresWatchStore(stores.info);
    const states = createCountStates(stores.counts, config);
    const admission = createAdmission(stores.counts, config);
    const parts = { database: stores.info, infos, requests, log };
    const creations = createCreations({
      ...parts,
      admit: (countIds) => admission.creations(countIds),
      decide: (changes) => createInCountsStore(states, changes),
      activate: (changes) => activateInCountsStore(states, changes),
      announce: (tx, created) => announceCreated(publish, tx, created),
    });
    const changes = createCountChanges({
      ...parts,
      decide: (change) => decideInCountsStore(states, change),
      creations,
      admit: (countId) => admission.change(countId),
      announce: (tx, change, record) => announceCount(publish, tx, change.operation, record),
      turns: createBulkhead({
        name: "changes of Counts",
        concurrentMax: atOnceMax,
        queueMax: waitingMax,
        metrics,
      }),
    });
    const queue = createCreationQueue({
      creations,
      limits: creationLimits,
      turns: createBulkhead({
        name: "creations in batches",
        concurrentMax: creationLimits.batchesMax,
        queueMax: batchCallsMax,
        metrics,
      }),
      batchSizes: metrics.histogram({
        name: "count_management_batch_creations",
        help: "Creations per batch.",
        buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      }),
    });
    const watchChanges = createWatchHandler({ database: stores.info, watch, log, metrics });
    const verifier = createCountVerifier({ watch, states });
    return [
      serve(CountManagementService, {
        ...createInfoHandlers({ infos, changes }),
        ...createCreationHandlers({ creations: queue, log }),
        ...createVerifyHandlers({ verifier }),
      }),
      onMany(CountsChangedSchema, readChanges, watchChanges),
      background(createSweeper({ infos, requests, changes, clock, log, ageMs: config.sweepAgeMs })),
      background(createAuditor({ verifier, leases, clock, log, metrics })),
      republisher([CountUpdatedSchema, CountDeletedSchema], () =>
        republishInfos({
          database: stores.info,
          infos,
          announce: (tx, operation, record) => announceCount(publish, tx, operation, record),
        }),
      ),
      rebuilder([CountsChangedSchema], () => verifier.restartWatch()),
    ];
  },
});

/** Creations go through the saga in batches. Each batch on its way takes a connection of the database. */
const creationLimits: CreationLimits = { batchMax: 256, batchesMax: 2, promptMax: 64, waitingMax: 4096 };
/** Calls for many creations that may wait for the turn of their next part: each holds a message of some MiB. */
const batchCallsMax = 32;
/** Other mutations of one process that are worked on at a time: with the batches, fewer than its database has connections. */
const atOnceMax = 6;
/** Mutations of one process that may wait for their turn. */
const waitingMax = 4096;
