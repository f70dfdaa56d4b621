/** Which pages of other origins may call. */
export interface CorsOptions {
  /** Origins such as "https://console.example"; "*" for any. */
  readonly origins: readonly string[];
}

/** Cross-origin rules of the HTTP port. */
export interface Cors {
  /** The answer to a preflight; `undefined` when the request is none. */
  preflight(request: Request): Response | undefined;
  /** Lets the page that asked read the response, when it may. */
  allow(request: Request, response: Response): Response;
}

/** How long a browser may keep a preflight's answer, in seconds. */
const preflightAgeMaxS = 7200;

const methods = "GET, HEAD, POST, PATCH, PUT, DELETE";
const requestHeaders =
  "Authorization, Content-Type, Connect-Protocol-Version, Connect-Timeout-Ms, Grpc-Timeout, X-Grpc-Web, X-User-Agent, Idempotency-Key, Traceparent";
const exposedHeaders = "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, Retry-After, Www-Authenticate";

/** Without options, pages served by this machine itself (any port of localhost) may call, and no others. */
export function createCors(options: CorsOptions | undefined): Cors {
  const origins = new Set(options?.origins);
  const allowed = (origin: string): boolean =>
    options === undefined ? isLoopback(origin) : origins.has("*") || origins.has(origin);
  return {
    preflight: (request) => {
      if (request.method !== "OPTIONS") return undefined;
      const origin = request.headers.get("origin");
      if (origin === null || !request.headers.has("access-control-request-method")) return undefined;
      const headers = new Headers({ vary: "Origin" });
      if (!allowed(origin)) return new Response(null, { status: 403, headers });
      headers.set("access-control-allow-origin", origin);
      headers.set("access-control-allow-methods", methods);
      headers.set("access-control-allow-headers", requestHeaders);
      headers.set("access-control-max-age", String(preflightAgeMaxS));
      return new Response(null, { status: 204, headers });
    },
    allow: (request, response) => {
      const origin = request.headers.get("origin");
      if (origin === null) return response;
      response.headers.append("vary", "Origin");
      if (allowed(origin)) {
        response.headers.set("access-control-allow-origin", origin);
        response.headers.set("access-control-expose-headers", exposedHeaders);
      }
      return response;
    },
  };
}

/** Whether an origin, as browsers write it (RFC 6454, section 6.2), is a page that this machine serves. */
function isLoopback(origin: string): boolean {
  return /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/.test(origin);
}
