import autocannon from "autocannon";
import type { WireRequest } from "./http-connections.ts";
import type { LoadResult } from "./load.ts";

/** How often autocannon looks whether its time is over. */
const sampleMs = 20;

/** Saturates an origin with autocannon: `callers` connections, each with one call on its way. */
export async function runAutocannon(
  url: string,
  callers: number,
  windowMs: number,
  headers: Readonly<Record<string, string>>,
  writesPerCall: number,
  next: () => WireRequest,
): Promise<LoadResult> {
  const { contentType } = next();
  const startedMs = performance.now();
  const result = await autocannon({
    url,
    connections: callers,
    duration: windowMs / 1000,
    sampleInt: sampleMs,
    method: "POST",
    headers: { ...headers, "content-type": contentType },
    requests: [
      {
        setupRequest: (request) => {
          const { path, body } = next();
          return Object.assign(request, { path, body: Buffer.from(body, "latin1") });
        },
      },
    ],
  });
  const refused: Record<string, number> = {};
  if (result.non2xx > 0) refused["not 2xx"] = result.non2xx;
  if (result.errors > 0) refused["connection errors"] = result.errors;
  return {
    acknowledged: result["2xx"] * writesPerCall,
    refused,
    cutOff: callers * writesPerCall,
    windowMs: performance.now() - startedMs,
    latencyMs: { p50: result.latency.p50, p99: result.latency.p99, max: result.latency.max },
  };
}
