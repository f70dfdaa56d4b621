import { createConnectRouter, type ConnectRouter } from "@connectrpc/connect";
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { Redis } from "ioredis";
import { CountWriteService } from "../../internal/gen/muin/count/v1/count_write_service_pb.ts";
import { type Served, serveChild } from "../harness/child.ts";
import { genericKey } from "./peer-keys.ts";

/** Entries that the peer's stream keeps: nobody reads it. */
const streamEntriesMax = 100_000;

/** The peer: what one would otherwise write. Value and event are one script per operation. */
const incrementLua = `
local value = redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'count_id', ARGV[1], 'delta', ARGV[2], 'value', value)
return value
`;

declare module "ioredis" {
  interface RedisCommander<Context> {
    incrementCount(
      values: string,
      events: string,
      countId: string,
      delta: number,
      entriesMax: number,
    ): import("ioredis").Result<number, Context>;
  }
}

/** What this process is told on its command line. */
export interface GenericServerOptions {
  readonly redisUrl: string;
}

/**
 * Serves Increment by Connect's own handler on `Bun.serve`, with a script call per operation on one connection with automatic
 * pipelining. It checks no key, validates nothing, knows no request id and publishes no event: all that would only slow it.
 * Its greeting is its address.
 */
async function openGenericServer({ redisUrl }: GenericServerOptions): Promise<Served<never, never>> {
  const redis = new Redis(redisUrl, { lazyConnect: true, enableAutoPipelining: true });
  redis.defineCommand("incrementCount", { numberOfKeys: 2, lua: incrementLua });
  await redis.connect();
  const routes = (router: ConnectRouter): ConnectRouter =>
    router.service(CountWriteService, {
      increment: async ({ countId, delta }) => {
        const value = await redis.incrementCount(
          genericKey,
          "generic:events",
          countId,
          Number(delta ?? 1n),
          streamEntriesMax,
        );
        return { value: { countId, value: BigInt(value) } };
      },
    });
  const handlers = new Map(
    routes(createConnectRouter({ grpc: false })).handlers.map((handler) => [
      handler.requestPath,
      createFetchHandler(handler),
    ]),
  );
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch: (request) => {
      const handler = handlers.get(new URL(request.url).pathname);
      return handler === undefined ? new Response(null, { status: 404 }) : handler(request);
    },
  });
  return {
    greeting: `http://127.0.0.1:${server.port}`,
    answer: () => Promise.reject(new Error("a server is not asked")),
    close: async () => {
      await server.stop(true);
      redis.disconnect();
    },
  };
}

if (import.meta.main) await serveChild(openGenericServer);
