import type { Server } from "bun";
import http from "node:http";
import type { Call } from "../call/call.ts";
import type { FetchHandler } from "./fetch-handler.ts";
import { PortTakenError } from "./port-taken-error.ts";
import { hostOf, tlsOf, type Port, type PortDeps } from "./port.ts";

/**
 * How long a server that another took the place of goes on, in milliseconds. It asks its callers to come by a new connection: whoever
 * calls now and then has done so by the end, when quiet connections are closed.
 */
const retireMs = 1000;
/** Servers that wait for their last streams. Beyond, those of the oldest are cut off. */
const retiringMax = 4;

/** Bytes of one request's head, for all servers of the process; of more, Bun says 431 and no words. So long URLs are told what to do. */
const headBytesMax = 32 * 1024;

/** Where an HTTP port listens, and who answers there. */
export interface HttpPortOptions extends Pick<
  PortDeps,
  "host" | "port" | "tls" | "clock" | "log" | "connectionLimits"
> {
  readonly which: "http" | "operator";
  readonly answer: FetchHandler;
}

/** Creates a port that speaks HTTP/1.1 and HTTP/2: the one for Connect, gRPC-Web and REST, or the operator's. */
export function createHttpPort(options: HttpPortOptions): Port {
  const { answer, tls, clock, log, connectionLimits } = options;
  Object.assign(http, { maxHeaderSize: headBytesMax });
  const retiring = new Set<Server<undefined>>();
  const stopped = new AbortController();
  let server: Server<undefined> | undefined;

  const listen = (port: number, certificate: PortDeps["tls"]): Server<undefined> =>
    Bun.serve({
      hostname: options.host,
      port,
      http2: true,
      // Bun closes a connection on which nothing moves for so long, or a body comes by the byte. One that sends no whole request
      // head at first is closed after 10 to 12 s, whatever stands here.
      idleTimeout: connectionLimits.httpIdleSMax,
      development: false,
      // Outside development Bun shares ports by default: a taken one would go unnoticed and take half of the calls. With TLS the
      // port is shared on purpose, by the servers of the old and the new certificate: `reload` would keep the old one silently.
      reusePort: certificate !== undefined,
      ...(certificate === undefined ? {} : { tls: tlsOf(certificate) }),
      fetch: async (request, listening) => {
        const response = await answer(
          request,
          () => listening.requestIP(request)?.address ?? "",
          (call) => {
            if (mayBeQuiet(call, connectionLimits.httpIdleSMax)) listening.timeout(request, 0); // For this request alone.
          },
        );
        if (retiring.has(listening)) response.headers.set("connection", "close");
        return response;
      },
      error: (error) => {
        log.error("request failed", { err: error });
        return Response.json({ error: { code: 500, status: "INTERNAL", message: "internal error" } }, { status: 500 });
      },
    });
  const listening = (): Server<undefined> => {
    if (server === undefined) throw new Error(`the ${options.which} port has not started`);
    return server;
  };
  const retire = async (old: Server<undefined>): Promise<void> => {
    retiring.add(old);
    const [oldest] = retiring;
    if (retiring.size > retiringMax) await oldest?.stop(true);
    await clock.sleep(retireMs, stopped.signal).catch(() => undefined); // The whole port stops: so does this one.
    await old.stop(false);
    retiring.delete(old);
  };
  return {
    start: async () => {
      try {
        if (tls !== undefined && options.port !== 0) await refuseTaken(options);
        server = listen(options.port, tls);
      } catch (error) {
        throw (error as { code?: string }).code === "EADDRINUSE"
          ? new PortTakenError(options.which, options.port, error)
          : error;
      }
    },
    stopAccepting: () => {
      stopped.abort();
      void server?.stop(false); // Resolves when idle connections have closed, which the caller does not wait for.
    },
    pending: () =>
      [...(server === undefined ? [] : [server]), ...retiring].reduce((sum, one) => sum + one.pendingRequests, 0),
    stop: async () => {
      stopped.abort();
      await Promise.all([...(server === undefined ? [] : [server]), ...retiring].map((one) => one.stop(true)));
    },
    address: () => `${tls === undefined ? "http" : "https"}://${hostOf(options.host)}:${listening().port}`,
    useTls: (certificate) => {
      const old = listening();
      server = listen(old.port ?? options.port, certificate);
      retire(old).catch((error: unknown) =>
        log.error("the server of the old certificate did not stop", { err: error }),
      );
    },
  };
}

/** Throws EADDRINUSE when somebody listens there already: a port that is to be shared would be shared with them too. */
async function refuseTaken({ host, port }: HttpPortOptions): Promise<void> {
  await Bun.serve({ hostname: host, port, reusePort: false, fetch: () => new Response() }).stop(true);
}

/** Whether a call may go on for longer than its connection may be silent. */
function mayBeQuiet({ plan, deadline }: Call, idleSMax: number): boolean {
  if (plan.method.methodKind !== "unary") return true;
  return deadline !== undefined && deadline.remainingMs() >= (idleSMax / 2) * 1000; // Bun looks every few seconds.
}
