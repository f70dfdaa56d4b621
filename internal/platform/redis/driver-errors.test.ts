import { expect, test } from "bun:test";
import { Redis } from "ioredis";
import { MuinError } from "../errors/muin-error.ts";
import { startRedis } from "../testing/redis.ts";
import { driverTexts, isConnectionError, replyCode } from "./driver-errors.ts";
import { connect } from "./open-redis.ts";

const messageOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "no error",
    (error: Error) => error.message,
  );

test("the driver says so of a command without a connection", async () => {
  const client = new Redis("redis://127.0.0.1:1", { lazyConnect: true, enableOfflineQueue: false });
  client.on("error", () => undefined); // Nobody listens there.
  expect(await messageOf(client.get("a"))).toBe(driverTexts.notConnected);
  client.disconnect();
});

test("the driver says so of a connection that ended", async () => {
  await using server = await startRedis({ appendfsync: "no" });
  const client = new Redis(server.url);
  await client.ping();
  const waiting = messageOf(client.blpop("nothing", 0));
  client.disconnect();
  expect(await waiting).toBe(driverTexts.closed);
  expect(await messageOf(client.get("a"))).toBe(driverTexts.closed);
});

test("errors that are neither of the connection nor replies are nobody's", () => {
  const error = new Error("Stream isn't what it was");
  expect([isConnectionError(error), replyCode(error), replyCode(undefined)]).toEqual([false, undefined, undefined]);
});

test.each([
  ["LOADING Redis is loading the dataset in memory", "unavailable STORE_UNAVAILABLE"],
  ["READONLY You can't write against a read only replica.", "unavailable STORE_UNAVAILABLE"],
  ["MISCONF Errors writing to the AOF file", "unavailable STORE_UNAVAILABLE"],
  ["MASTERDOWN Link with MASTER is down", "unavailable STORE_UNAVAILABLE"],
  ["CLUSTERDOWN The cluster is down", "unavailable STORE_UNAVAILABLE"],
  ["TRYAGAIN Multiple keys request during rehashing of slot", "unavailable STORE_UNAVAILABLE"],
  ["BUSY Redis is busy running a script.", "unavailable STORE_UNAVAILABLE"],
  ["NOREPLICAS Not enough good replicas to write.", "unavailable STORE_UNAVAILABLE"],
  ["WRONGPASS invalid username-password pair", "unavailable STORE_UNAVAILABLE"],
  ["NOAUTH Authentication required.", "unavailable STORE_UNAVAILABLE"],
  ["OOM command not allowed when used memory > 'maxmemory'.", "resource_exhausted STORE_FULL"],
  ["WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE"],
  ["NOSCRIPT No matching script.", "NOSCRIPT"],
  ["ERR unknown command", "ERR"],
  ["BUSYGROUP Consumer Group name already exists", "BUSYGROUP"],
])("the reply %p is %s", async (reply, expected) => {
  using server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => void socket.write(`-${reply}\r\n`) },
  });
  const client = connect({ url: `redis://127.0.0.1:${server.port}`, name: "" }, { enableReadyCheck: false });
  await client.connect();
  const error: unknown = await client.get("a").catch((error: unknown) => error);
  expect(error instanceof MuinError ? `${error.code} ${error.reason}` : replyCode(error)).toBe(expected);
  client.disconnect();
});
