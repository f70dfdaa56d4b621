import { Code, ConnectError } from "@connectrpc/connect";
import { version } from "../../config/version.ts";
import { createConnectLane } from "../connect/lane.ts";
import { loadComments } from "../rest/comments.ts";
import { createRestLane } from "../rest/lane.ts";
import { describeRoutes } from "../rest/openapi.ts";
import { planRoutes, type RestRoute } from "../rest/route.ts";
import { errorToRest } from "../rest/write-reply.ts";
import { callerAddress } from "./address.ts";
import { createCors, type CorsOptions } from "./cors.ts";
import { createPages, type Page } from "./pages.ts";
import type { PortDeps } from "./port.ts";

/** What the HTTP port serves: calls, and pages beside them. */
export interface FetchOptions extends PortDeps {
  readonly cors: CorsOptions | undefined;
  readonly extraRoutes: Readonly<Record<string, Page>>;
}

/** Answers a request. `peer` is the address of the connection's other end. */
export type FetchHandler = (request: Request, peer: () => string) => Promise<Response>;

/**
 * Answers whatever comes to the HTTP port: a method of Connect or gRPC-Web by its path, then a page, then a route of REST, then a page
 * that takes all below its path.
 */
export function createFetchHandler(options: FetchOptions): FetchHandler {
  const { life, registry, trustedHops, unreadForwarding } = options;
  const connect = createConnectLane(options.plans, options);
  const restRoutes = planRoutes(options.plans, registry);
  const rest = createRestLane(restRoutes, options);
  const cors = createCors(options.cors);
  const pages = createPages({ ...options.extraRoutes, ...platformPages(options, restRoutes) });

  const serve = (request: Request, peer: () => string): Promise<Response> | Response => {
    const path = pathOf(request.url);
    unreadForwarding.look((name) => request.headers.get(name));
    const address = (): string =>
      callerAddress(peer(), trustedHops === 0 ? null : request.headers.get("x-forwarded-for"), trustedHops);
    const answer =
      connect(request, path, address) ??
      pages.at(path)?.(request) ??
      rest(request, path, address) ??
      pages.below(path)?.(request);
    if (answer !== undefined) return answer;
    const error = life.describe(new ConnectError(`there is nothing at ${path}`, Code.NotFound));
    return Response.json(errorToRest(error, registry, 404), { status: 404 });
  };
  return async (request, peer) => cors.preflight(request) ?? cors.allow(request, await serve(request, peer));
}

/** The pages of every process. */
function platformPages(
  { readiness, degraded }: PortDeps,
  routes: readonly RestRoute[],
): Readonly<Record<string, Page>> {
  return {
    "/openapi.json": openApiPage(routes),
    "/healthz": () => text(200, "ok"),
    "/readyz": () => {
      const reason = readiness();
      if (reason !== undefined) return text(503, reason);
      return text(200, ["ok", ...degraded().map((problem) => `degraded: ${problem}`)].join("\n"));
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
