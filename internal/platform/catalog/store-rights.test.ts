import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import { startRedis, type TestRedis } from "../testing/redis.ts";
import { defineService, type ServiceInfo } from "../service/define-service.ts";
import { eventsRights } from "./bus-rights.ts";
import { postgresRights, redisRights } from "./store-rights.ts";
import { postgres, postgresViews, redis } from "../service/stores.ts";

const writer = service("write-it", {
  counts: redis("counts", "read-write", { keys: ["count:*"] }),
  own: postgres({ database: "info", migrations: [] }),
});
const reader = service("read-it", {
  replica: redis("counts", "read-only", { keys: ["count:*"], role: "replica" }),
  kept: redis("counts", "read-write", { keys: ["kept:*"] }),
  views: postgresViews({ database: "info", views: ["info_v1"] }),
});

describe("rights derived from declarations", () => {
  let server: TestRedis;
  const connections: Redis[] = [];
  const as = async (user: string, rules: readonly string[]): Promise<Redis> => {
    const admin = new Redis(server.url);
    connections.push(admin);
    await admin.call("ACL", "SETUSER", user, "reset", ...rules, ">secret");
    const connection = new Redis({ host: server.host, port: server.port, username: user, password: "secret" });
    connections.push(connection);
    return connection;
  };
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(async () => {
    for (const connection of connections) connection.disconnect();
    await server.stop();
  });

  test("give a Redis user its keys and no others", async () => {
    const [rights] = redisRights(writer);
    const user = await as(rights?.user ?? "", rights?.rules ?? []);
    expect(await user.set("count:a", "1")).toBe("OK");
    expect(await user.eval("return redis.call('INCR', KEYS[1])", 1, "count:a")).toBe(2);
    expect(await user.multi().incr("count:a").get("count:a").exec()).toEqual([
      [null, 3],
      [null, "3"],
    ]);
    expect(user.get("other:a")).rejects.toThrow("NOPERM");
    expect(user.eval("return redis.call('GET', 'other:a')", 0)).rejects.toThrow();
  });

  test("keep a read-only store read-only beside a written one of the same server", async () => {
    const [rights] = redisRights(reader);
    const user = await as(rights?.user ?? "", rights?.rules ?? []);
    expect(await user.get("count:a")).toBe("3");
    expect(await user.set("kept:a", "1")).toBe("OK");
    expect(user.set("count:a", "9")).rejects.toThrow("NOPERM");
    expect(user.eval("return redis.call('SET', KEYS[1], '9')", 1, "count:a")).rejects.toThrow("NOPERM");
    expect(user.get("other:a")).rejects.toThrow("NOPERM");
  });

  test.each([
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "DBSIZE",
    "FLUSHALL",
    "CONFIG GET *",
    "ACL LIST",
    "DEBUG SLEEP 0",
    "CLIENT LIST",
    "MONITOR",
    "SHUTDOWN NOSAVE",
  ])("refuse %s, which would show or touch what belongs to others", async (command) => {
    const [name = "", ...args] = command.split(" ");
    for (const rights of [
      ...redisRights(writer),
      ...redisRights(reader),
      eventsRights("process", { services: ["one"], writes: ["w"], reads: ["r"] }),
    ]) {
      const user = await as(rights.user, rights.rules);
      expect(user.call(name, ...args)).rejects.toThrow("NOPERM");
    }
  });

  test("name the roles of a database and who reads its views", () => {
    expect(postgresRights([writer, reader])).toEqual([
      {
        database: "info",
        schemaRole: "write_it_schema",
        dataRole: "write_it_data",
        readers: [{ role: "read_it_reader", views: ["info_v1"] }],
      },
    ]);
  });
});

function service(name: string, stores: ServiceInfo["stores"]): ServiceInfo {
  return defineService({
    name,
    summary: "A service of the test.",
    serves: [],
    calls: {},
    stores,
    publishes: [],
    consumes: [],
    config: {},
    errors: {},
    personalData: "none",
    create: () => [],
  });
}
