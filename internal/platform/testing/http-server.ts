import { identityErrors } from "../identity/errors.ts";
import type { Caller } from "../identity/caller.ts";
import { planMethods, type RunningService } from "../rpc/call/plan.ts";
import { createRpcServer, type RpcServerOptions } from "../rpc/server/server.ts";
import type { Logger } from "../telemetry/logger.ts";

const log: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => log };
const loopback = { host: "127.0.0.1", port: 0 };

/** The HTTP port of a server that serves `services`; "Bearer good" is `caller`, and nobody else is known. */
export async function startHttpServer(
  services: readonly RunningService[],
  { caller, ...options }: Partial<RpcServerOptions> & { readonly caller?: Caller } = {},
): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createRpcServer({
    plans: planMethods(services),
    authenticator: {
      authenticate: (authorization) => {
        if (caller === undefined || authorization !== "Bearer good") throw identityErrors.credentialsInvalid();
        return caller;
      },
    },
    observer: { begin: () => ({ traceparent: undefined, end: () => {}, run: (work) => work() }) },
    log,
    http: loopback,
    grpc: loopback,
    operator: { ...loopback, pages: {} },
    connectionLimits: { strangerRequestsMax: 10_000 },
    ...options,
  });
  await server.start();
  return { url: server.addresses().http, [Symbol.asyncDispose]: () => server.stop() };
}
