import type { Clock } from "../../clock/clock.ts";
import { defaultConnectionLimits } from "./connection-limits.ts";
import type { FetchHandler } from "./fetch-handler.ts";
import { createOperatorNames } from "./operator-names.ts";
import { pathOf } from "../call/target.ts";
import { createPages, textPage, type Page } from "./pages.ts";
import type { PortDeps } from "./port.ts";
import { refuseHead } from "./request-head.ts";
import { markForBrowsers } from "./response-marks.ts";
import { createStrangerRates } from "./stranger-rates.ts";

/** What whoever runs the process sees. */
export interface OperatorHandlerOptions {
  /** Pages beside the probes, by path. */
  readonly pages: Readonly<Record<string, Page>>;
  /** Names by which the port is called, beside addresses and "localhost". */
  readonly names: readonly string[];
  /** Why the process cannot serve; `undefined` when it can. */
  readonly readiness: () => string | undefined;
  /** What is wrong though the process serves. */
  readonly degraded: () => readonly string[];
  readonly tls: PortDeps["tls"];
  readonly clock: Clock;
}

/** Answers what comes to the operator port by a name of its own: pages alone, and no calls. Its /readyz says why, which the public one keeps to itself. */
export function createOperatorHandler(options: OperatorHandlerOptions): FetchHandler {
  const { readiness, degraded } = options;
  const rates = createStrangerRates(defaultConnectionLimits, options.clock);
  const isOwnName = createOperatorNames(options.names);
  const pages = createPages(options.pages);
  const probes = createPages({
    "/healthz": () => textPage(200, "ok"),
    "/readyz": () => {
      const reason = readiness();
      if (reason !== undefined) return textPage(503, `not ready: ${reason}`);
      return textPage(200, ["ready", ...degraded().map((problem) => `degraded: ${problem}`)].join("\n"));
    },
  });
  const serve = (request: Request, peer: () => string): Promise<Response> | Response => {
    const host = request.headers.get("host") ?? "";
    const refused = refuseHead(request.method, host, request.url);
    if (refused?.status === 405) return notAllowed(refused.message);
    if (refused !== undefined) return textPage(refused.status, refused.message);
    // Without any, as in HTTP/1.0, it comes from no browser.
    if (host !== "" && !isOwnName(host))
      return textPage(421, "call this port by its address, or give it this name: MUIN_OPERATOR_NAMES");
    if (request.method !== "GET" && request.method !== "HEAD") return notAllowed("only GET is answered here");
    const path = pathOf(request.url);
    const probe = probes.at(path)?.(request);
    if (probe !== undefined) return probe;
    const page = pages.at(path);
    if (page === undefined) return textPage(404, `there is nothing at ${path}`);
    return rates.pass(peer()) === "passes" ? page(request) : textPage(429, "too many pages in a second");
  };
  return async (request, peer) => markForBrowsers(await serve(request, peer), options.tls !== undefined);
}

function notAllowed(message: string): Response {
  const response = textPage(405, message);
  response.headers.set("allow", "GET, HEAD");
  return response;
}
