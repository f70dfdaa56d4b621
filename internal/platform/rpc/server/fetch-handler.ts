import { Code, ConnectError } from "@connectrpc/connect";
import type { OnKnown } from "../call/call.ts";
import { pathOf } from "../call/target.ts";
import { createConnectLane } from "../connect/lane.ts";
import { loadComments } from "../rest/comments.ts";
import { createRestLane } from "../rest/lane.ts";
import { describeRoutes } from "../rest/openapi.ts";
import { planRoutes, type RestRoute } from "../rest/route.ts";
import { errorToRest } from "../rest/write-reply.ts";
import { callerAddress } from "./address.ts";
import { createCors, type CorsOptions } from "./cors.ts";
import { createPages, textPage, type Page } from "./pages.ts";
import type { PortDeps } from "./port.ts";
import { createRateRefusal } from "./rate-refusal.ts";
import { refuseHead } from "./request-head.ts";
import { markForBrowsers } from "./response-marks.ts";

/** What one path or another of the port answers, for the header Allow. */
const allowedMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/** What the HTTP port serves: calls, and pages beside them. */
export interface FetchOptions extends Omit<PortDeps, "host" | "port"> {
  readonly cors: CorsOptions | undefined;
  readonly extraRoutes: Readonly<Record<string, Page>>;
}

/** Answers a request. `peer` is the address of the connection's other end; `onKnown` is told once it is known who calls. */
export type FetchHandler = (request: Request, peer: () => string, onKnown: OnKnown) => Promise<Response>;

/**
 * Answers whatever comes to the HTTP port: a method of Connect or gRPC-Web by its path, then a page, then a route of REST, then a page
 * that takes all below its path.
 */
export function createFetchHandler(options: FetchOptions): FetchHandler {
  const { life, registry, trustedHops, unreadForwarding, rates } = options;
  const connect = createConnectLane(options.plans, options);
  const restRoutes = planRoutes(options.plans, registry);
  const rest = createRestLane(restRoutes, options);
  const cors = createCors(options.cors);
  const pages = createPages({ ...options.extraRoutes, "/openapi.json": openApiPage(restRoutes) });
  const probes = createPages(probePages(options));
  const tooFast = createRateRefusal(life, registry);

  const refuse = (error: ConnectError, status: number, headers: Record<string, string> = {}): Response =>
    Response.json(errorToRest(life.describe(error), registry, status), { status, headers });
  const serve = (request: Request, peer: () => string, onKnown: OnKnown): Promise<Response> | Response => {
    const refused = refuseHead(request.method, request.headers.get("host"), request.url);
    if (refused !== undefined) {
      const headers = refused.status === 405 ? { allow: allowedMethods } : {};
      return refuse(new ConnectError(refused.message, Code.InvalidArgument), refused.status, headers);
    }
    const path = pathOf(request.url);
    unreadForwarding.look((name) => request.headers.get(name));
    const address = (): string =>
      callerAddress(peer(), trustedHops === 0 ? null : request.headers.get("x-forwarded-for"), trustedHops);
    const page = pages.at(path);
    // What a page costs does not depend on credentials, which nobody looks at before it.
    if (page !== undefined || request.headers.get("authorization") === null) {
      const probe = probes.at(path);
      if (probe !== undefined) return probe(request);
      if (rates.pass(address()) !== "passes") return tooFast.http(request, options.plans.has(path));
    }
    const answer =
      connect(request, path, address, onKnown) ??
      probes.at(path)?.(request) ??
      page?.(request) ??
      rest(request, path, address, onKnown) ??
      pages.below(path)?.(request);
    return answer ?? refuse(new ConnectError(`there is nothing at ${path}`, Code.NotFound), 404);
  };
  return async (request, peer, onKnown) =>
    markForBrowsers(
      cors.preflight(request) ?? cors.allow(request, challenge(request, await serve(request, peer, onKnown))),
      options.tls !== undefined,
    );
}

/** Says with a 401 what credentials are taken, and whether those that came were not: https://www.rfc-editor.org/rfc/rfc6750#section-3. */
function challenge(request: Request, response: Response): Response {
  if (response.status !== 401) return response;
  const isGiven = request.headers.get("authorization") !== null;
  response.headers.set(
    "www-authenticate",
    isGiven ? 'Bearer realm="muin", error="invalid_token"' : 'Bearer realm="muin"',
  );
  return response;
}

/** What those ask who watch over the process: it costs nothing, is never refused, and gives strangers no reasons. */
function probePages({ readiness }: FetchOptions): Readonly<Record<string, Page>> {
  return {
    "/healthz": () => textPage(200, "ok"),
    "/readyz": () => (readiness() === undefined ? textPage(200, "ready") : textPage(503, "not ready")),
  };
}

/** The OpenAPI document of the routes, rendered when it is first asked for. */
function openApiPage(routes: readonly RestRoute[]): Page {
  const services = [...new Set(routes.map(({ plan }) => plan.method.parent))];
  const render = async (): Promise<string> =>
    JSON.stringify(describeRoutes(routes, { comments: await loadComments(services) }));
  let document: Promise<string> | undefined;
  return async () => new Response(await (document ??= render()), { headers: { "content-type": "application/json" } });
}
