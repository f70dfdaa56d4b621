import type { Server } from "bun";
import { createFetchHandler, type FetchOptions } from "./fetch-handler.ts";
import { PortTakenError } from "./port-taken-error.ts";
import { hostOf, tlsOf, type Port } from "./port.ts";

/** Creates the port for Connect, gRPC-Web, REST and pages, over HTTP/1.1 and HTTP/2. */
export function createHttpPort(options: FetchOptions): Port {
  const answer = createFetchHandler(options);
  let server: Server<undefined> | undefined;
  return {
    start: async () => {
      try {
        server = Bun.serve({
          hostname: options.host,
          port: options.port,
          http2: true,
          // Neither a quiet stream nor an idle connection is cut off. A connection that sends no whole request head at first is
          // closed by Bun after 10 to 12 s all the same, whatever stands here.
          idleTimeout: 0,
          development: false,
          // Outside development Bun shares ports by default: a taken one would go unnoticed and take half of the calls.
          reusePort: false,
          ...(options.tls === undefined ? {} : { tls: tlsOf(options.tls) }),
          fetch: (request, listening) => answer(request, () => listening.requestIP(request)?.address ?? ""),
          error: (error) => {
            options.log.error("request failed", { err: error });
            return Response.json(
              { error: { code: 500, status: "INTERNAL", message: "internal error" } },
              { status: 500 },
            );
          },
        });
      } catch (error) {
        throw (error as { code?: string }).code === "EADDRINUSE"
          ? new PortTakenError("http", options.port, error)
          : error;
      }
    },
    stopAccepting: () => {
      void server?.stop(false); // Resolves when idle connections have closed, which the caller does not wait for.
    },
    stop: async () => {
      await server?.stop(true);
    },
    address: () => {
      if (server === undefined) throw new Error("the HTTP port has not started");
      return `${options.tls === undefined ? "http" : "https"}://${hostOf(options.host)}:${server.port}`;
    },
  };
}
