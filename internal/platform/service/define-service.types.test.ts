import { describe, expect, test } from "bun:test";
import { ApiKeyRevokedSchema, SessionRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { ApiKeyService } from "../../gen/muin/identity/v1/api_key_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { int } from "../config/fields.ts";
import { background, defineService, everyInstance, on, serve } from "./define-service.ts";
import { postgres, redis } from "./stores.ts";

/** Each `@ts-expect-error` is a test: the type check fails when the line below it compiles. */
const base = {
  summary: "A service of the test.",
  serves: [PersonKeyService],
  calls: { keys: ApiKeyService },
  stores: {
    own: postgres({ database: "own", migrations: [] }),
    replica: redis("counts", "read-only", { keys: ["count:*"] }),
    counts: redis("counts", "read-write", { keys: ["count:*"] }),
  },
  publishes: [SessionRevokedSchema],
  consumes: [everyInstance(ApiKeyRevokedSchema)],
  config: { batchMax: int("BATCH_MAX", { doc: "Writes in a batch.", default: 512 }) },
} as const;
const impl = { getPersonKeys: () => ({ personKeys: [] }), destroyPersonKey: () => ({}) };

describe("a service's declaration", () => {
  test("types what create may use and must return", () => {
    const ok = defineService({
      ...base,
      name: "ok",
      create: ({ stores, calls, publish, config }) => {
        const use = async (): Promise<void> => {
          await stores.own.transaction(async (tx) => {
            await publish(tx, SessionRevokedSchema, { sessionId: "s" });
            // @ts-expect-error an event that is not declared
            await publish(tx, ApiKeyRevokedSchema, { apiKeyId: "k" });
          });
          await stores.counts.client.set("count:a", config.batchMax.toFixed());
          // @ts-expect-error a write on a read-only store
          await stores.replica.client.set("count:a", "1");
          // @ts-expect-error a store that is not declared
          await stores.cache.client.get("x");
          await calls.keys.verifyApiKey({});
          // @ts-expect-error a client that is not declared
          await calls.auth.signIn({});
          // @ts-expect-error a setting that is not declared
          config.batchMaximum.toFixed();
        };
        return [
          serve(PersonKeyService, impl),
          on(ApiKeyRevokedSchema, async (event) => {
            if (event.apiKeyId === "") await use();
          }),
          background({ name: "x", start: async () => {}, stop: async () => {} }),
        ];
      },
    });
    expect(ok.name).toBe("ok");
  });

  test("refuses a missing or extra part", () => {
    // @ts-expect-error the consumer is missing
    defineService({ ...base, name: "a", create: () => [serve(PersonKeyService, impl)] });
    // @ts-expect-error the RPC service is missing
    defineService({ ...base, name: "b", create: () => [on(ApiKeyRevokedSchema, async () => {})] });
    defineService({
      ...base,
      name: "c",
      // @ts-expect-error a consumer that is not declared
      create: () => [
        serve(PersonKeyService, impl),
        on(ApiKeyRevokedSchema, async () => {}),
        on(SessionRevokedSchema, async () => {}),
      ],
    });
    // @ts-expect-error an RPC without implementation is allowed by Connect's Partial, an unknown one is not
    serve(PersonKeyService, { getPersonKeyz: () => ({}) });
    expect(base.serves).toHaveLength(1);
  });
});
