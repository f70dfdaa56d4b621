import { describe, expect, test } from "bun:test";
import { ApiKeyRevokedSchema, SessionRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { ApiKeyService } from "../../gen/muin/identity/v1/api_key_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { int, text } from "../config/fields.ts";
import { everyInstance, group } from "./consumption.ts";
import { defineService } from "./define-service.ts";
import { background, on, personalData, readiness, rebuilder, republisher, serve, setup } from "./parts.ts";
import { rpcs } from "./rpcs.ts";
import { folder, postgres, redis } from "./stores.ts";

/** Each `@ts-expect-error` is a test: the type check fails when the line below it compiles. */
const base = {
  summary: "A service of the test.",
  serves: [PersonKeyService],
  calls: { keys: rpcs(ApiKeyService, ["verifyApiKey"]) },
  stores: {
    own: postgres({ database: "own", migrations: [] }),
    replica: redis("counts", "read-only", { keys: ["count:*"] }),
    counts: redis("counts", "read-write", { keys: ["count:*"] }),
    queue: folder(),
  },
  publishes: [SessionRevokedSchema],
  consumes: [everyInstance(ApiKeyRevokedSchema)],
  config: { batchMax: int("BATCH_MAX", { doc: "Writes in a batch.", default: 512 }) },
  errors: {},
  personalData: "none",
} as const;
const again = (): Promise<number> => Promise.resolve(0);
const rebuild = (): Promise<void> => Promise.resolve();
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
          stores.queue.path.startsWith("/");
          // @ts-expect-error a folder has nothing but its path
          await stores.queue.client.get("x");
          // @ts-expect-error a store that is not declared
          await stores.cache.client.get("x");
          await calls.keys.verifyApiKey({});
          // @ts-expect-error an RPC that is not declared
          await calls.keys.createApiKey({});
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
    // @ts-expect-error an RPC that there is not
    rpcs(ApiKeyService, ["verifyApiKeys"]);
    // @ts-expect-error no RPC at all
    rpcs(ApiKeyService, []);
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

  test("lets further parts name only what is declared", () => {
    const parts = [serve(PersonKeyService, impl), on(ApiKeyRevokedSchema, async () => {})] as const;
    const grouped = { ...base, consumes: [group(ApiKeyRevokedSchema)] } as const;
    defineService({
      ...grouped,
      name: "d",
      create: () => [...parts, republisher([SessionRevokedSchema], again), rebuilder([ApiKeyRevokedSchema], rebuild)],
    });
    // @ts-expect-error it does not publish this
    defineService({ ...grouped, name: "e", create: () => [...parts, republisher([ApiKeyRevokedSchema], again)] });
    // @ts-expect-error it does not consume this
    defineService({ ...grouped, name: "f", create: () => [...parts, rebuilder([SessionRevokedSchema], rebuild)] });
    defineService({ ...base, name: "g", create: () => [...parts, rebuilder([ApiKeyRevokedSchema], rebuild)] });
    expect(parts).toHaveLength(2);
  });

  test("lets a service keep identity in one of its folders alone", () => {
    const parts = [serve(PersonKeyService, impl), on(ApiKeyRevokedSchema, async () => {})] as const;
    defineService({ ...base, name: "l", standsAlone: true, keepsIdentityIn: "queue", create: () => [...parts] });
    // @ts-expect-error a store that is no folder
    defineService({ ...base, name: "m", keepsIdentityIn: "own", create: () => [...parts] });
    // @ts-expect-error a store that is not declared
    defineService({ ...base, name: "n", keepsIdentityIn: "absent", create: () => [...parts] });
    expect(parts).toHaveLength(2);
  });

  test("lets only a service that says so hold personal data, and have a setup", () => {
    const parts = [serve(PersonKeyService, impl), on(ApiKeyRevokedSchema, async () => {})] as const;
    const held = personalData({ exportOf: async () => ({}), erase: async () => {} });
    const settings = { adminEmail: text("ADMIN_EMAIL", { doc: "An address.", default: "a@b" }) };
    const firstSteps = setup(settings, async ({ config }) => ({ keep: { email: config.adminEmail }, show: [] }));
    defineService({
      ...base,
      name: "h",
      personalData: "held",
      setup: settings,
      create: () => [...parts, held, firstSteps],
    });
    // @ts-expect-error it says that it holds none
    defineService({ ...base, name: "i", personalData: "none", create: () => [...parts, held] });
    // @ts-expect-error it names no settings for a setup
    defineService({ ...base, name: "j", create: () => [...parts, firstSteps] });
    // @ts-expect-error its setup gets other settings
    defineService({ ...base, name: "k", setup: base.config, create: () => [...parts, firstSteps] });
    expect(parts).toHaveLength(2);
  });

  test("hands what verifies entry passes to a service that says so, and to no other", () => {
    const parts = [serve(PersonKeyService, impl), on(ApiKeyRevokedSchema, async () => {})] as const;
    const verifying = defineService({
      ...base,
      name: "l",
      verifiesEntryPasses: true,
      create: ({ entryPasses }) => [...parts, readiness("passes", async () => typeof (await entryPasses.verify("")))],
    });
    const other = defineService({
      ...base,
      name: "m",
      // @ts-expect-error it does not say that it verifies any
      create: ({ entryPasses }) => [...parts, readiness("passes", async () => typeof (await entryPasses.verify("")))],
    });
    expect([verifying.verifiesEntryPasses, other.verifiesEntryPasses]).toEqual([true, false]);
  });
});
