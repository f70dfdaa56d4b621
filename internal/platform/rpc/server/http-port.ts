import type { Registry } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Server } from "bun";
import { version } from "../../config/version.ts";
import type { Clock } from "../../clock/clock.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { callerAddress } from "./address.ts";
import { createCors, type CorsOptions } from "./cors.ts";
import type { CallLife } from "../call/life.ts";
import type { RpcLimits } from "../call/limits.ts";
import type { MethodPlans } from "../call/plan.ts";
import { createConnectLane } from "../connect/lane.ts";
import { loadComments } from "../rest/comments.ts";
import { createRestLane } from "../rest/lane.ts";
import { describeRoutes } from "../rest/openapi.ts";
import { planRoutes, type RestRoute } from "../rest/route.ts";
import { errorToRest } from "../rest/write-reply.ts";
import { createPages, type Page } from "./pages.ts";
import { PortTakenError } from "./port-taken-error.ts";

/** What both ports share. */
export interface PortDeps {
  readonly plans: MethodPlans;
  readonly life: CallLife;
  readonly limits: RpcLimits;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Logger;
  readonly readiness: () => string | undefined;
  readonly tls: { readonly key: string; readonly cert: string; readonly ca?: string } | undefined;
  readonly trustedHops: number;
  readonly host: string;
  readonly port: number;
}

/** A listening port. */
export interface Port {
  start(): Promise<void>;
  /** Takes no new connections; calls under way go on. */
  stopAccepting(): void;
  /** Closes what is left. Idempotent. */
  stop(): Promise<void>;
  /** Where it listens. Throws before `start`. */
  address(): string;
}

/** Creates the port for Connect, gRPC-Web, REST and pages, over HTTP/1.1 and HTTP/2. */
export function createHttpPort(
  options: PortDeps & {
    readonly cors: CorsOptions | undefined;
    readonly extraRoutes: Readonly<Record<string, Page>>;
  },
): Port {
  const { life, registry, readiness } = options;
  const connect = createConnectLane(options.plans, options);
  const restRoutes = planRoutes(options.plans, registry);
  const rest = createRestLane(restRoutes, options);
  const cors = createCors(options.cors);
  const pages = createPages({
    ...options.extraRoutes,
    "/openapi.json": openApiPage(restRoutes),
    "/healthz": () => text(200, "ok"),
    "/readyz": () => {
      const reason = readiness();
      return reason === undefined ? text(200, "ok") : text(503, reason);
    },
  });
  let server: Server<undefined> | undefined;

  const addressOf = (request: Request): string =>
    callerAddress(
      server?.requestIP(request)?.address ?? "",
      options.trustedHops === 0 ? null : request.headers.get("x-forwarded-for"),
      options.trustedHops,
    );

  const serve = (request: Request): Promise<Response> | Response => {
    const path = pathOf(request.url);
    const address = (): string => addressOf(request);
    const answer =
      connect(request, path, address) ??
      pages.at(path)?.(request) ??
      rest(request, path, address) ??
      pages.below(path)?.(request);
    if (answer !== undefined) return answer;
    const error = life.describe(new ConnectError(`there is nothing at ${path}`, Code.NotFound));
    return Response.json(errorToRest(error, registry, 404), { status: 404 });
  };

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
          fetch: async (request) => cors.preflight(request) ?? cors.allow(request, await serve(request)),
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

/** Path of an absolute URL, as it stands there. */
function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("//") + 2);
  if (start < 0) return "/";
  const query = url.indexOf("?", start);
  return query < 0 ? url.slice(start) : url.slice(start, query);
}

/** A host as it stands in a URL. */
export function hostOf(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** TLS options as Bun and node:http2 both take them. */
export function tlsOf(tls: NonNullable<PortDeps["tls"]>): {
  key: string;
  cert: string;
  ca?: string;
  requestCert?: boolean;
  rejectUnauthorized?: boolean;
} {
  const { key, cert, ca } = tls;
  return ca === undefined ? { key, cert } : { key, cert, ca, requestCert: true, rejectUnauthorized: true };
}

/** The OpenAPI document of the routes, rendered when it is first asked for. */
function openApiPage(routes: readonly RestRoute[]): Page {
  const services = [...new Set(routes.map(({ plan }) => plan.method.parent))];
  const render = async (): Promise<string> =>
    JSON.stringify(describeRoutes(routes, { version, comments: await loadComments(services) }));
  let document: Promise<string> | undefined;
  return async () => new Response(await (document ??= render()), { headers: { "content-type": "application/json" } });
}

function text(status: number, body: string): Response {
  return new Response(`${body}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}
