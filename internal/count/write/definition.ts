import { CountImportService } from "../../gen/muin/count/v1/count_import_service_pb.ts";
import { CountsChangedSchema } from "../../gen/muin/count/v1/count_value_events_pb.ts";
import { CountWriteService } from "../../gen/muin/count/v1/count_write_service_pb.ts";
import { storeErrors } from "../../platform/errors/store-errors.ts";
import { defineService, type ServiceInfo } from "../../platform/service/define-service.ts";
import { background, outbox, readiness, serve } from "../../platform/service/parts.ts";
import { redis } from "../../platform/service/stores.ts";
import { countWriteConfig } from "./config.ts";
import { countWriteErrors } from "./errors.ts";
import { createCountImports } from "./import/rules.ts";
import { countWriteCodecs } from "./write/codecs.ts";
import { createCountWriter } from "./write/writer.ts";
import { createHandlers } from "./write/handlers.ts";
import { createImportHandlers } from "./import/handlers.ts";
import { createOutboxRelay } from "./relay/relay.ts";

/** Changes values: durably, each write once, with its event. */
export const countWrite: ServiceInfo<"count-write"> = defineService({
  name: "count-write",
  summary: "Changes values: durably, each write once, with its event.",
  serves: [CountWriteService, CountImportService],
  hot: Object.values(CountWriteService.method),
  calls: {},
  stores: { counts: redis("counts", "read-write", { keys: ["count:*"] }) },
  publishes: [CountsChangedSchema],
  consumes: [],
  config: countWriteConfig,
  errors: countWriteErrors.table,
  personalData: "none",
  create: ({ stores, broker, leases, config, clock, random, log, metrics }) => {
    const writer = createCountWriter({ store: stores.counts, limits: config, clock, random, log, metrics });
    const relay = createOutboxRelay({
      store: stores.counts,
      layout: () => writer.layout(),
      broker,
      leases,
      clock,
      random,
      log,
      metrics,
    });
    const imports = createCountImports({
      store: stores.counts,
      layout: () => {
        const layout = writer.layout();
        if (layout === undefined) throw storeErrors.unavailable({ cause: writer.obstacle() });
        return layout;
      },
      outboxBytesMax: config.outboxBytesMax,
      importsPerCallerMax: config.importsPerCallerMax,
      clock,
      random,
    });
    return [
      serve(CountWriteService, createHandlers({ writer, clock }), { codecs: countWriteCodecs }),
      serve(CountImportService, createImportHandlers({ imports, clock })),
      // The relay is stopped last: what the writer finishes is still published.
      background(relay),
      background(writer),
      readiness("counts", () => Promise.resolve(writer.obstacle())),
      outbox(relay),
    ];
  },
});
