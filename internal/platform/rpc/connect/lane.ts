import { universalServerRequestFromFetch } from "@connectrpc/connect/protocol";
import type { OnKnown } from "../call/call.ts";
import type { MethodPlans } from "../call/plan.ts";
import { parsableUrl } from "../call/target.ts";
import { createUniversalLane, type UniversalHandler, type UniversalLaneOptions } from "../universal/lane.ts";
import { createFastPaths } from "./fast-path.ts";
import { toFetch } from "./write-reply.ts";

/** Serves a request at `path` from `address`; `undefined` when no method has that path. `onKnown` is told once it is known who calls. */
export type ConnectLane = (
  request: Request,
  path: string,
  address: () => string,
  onKnown: OnKnown,
) => Promise<Response> | undefined;

/** Serves Connect and gRPC-Web over fetch: plain calls to hot methods on the fast path, all else by the library's handlers. */
export function createConnectLane(
  plans: MethodPlans,
  options: Omit<UniversalLaneOptions, "protocols" | "counted">,
): ConnectLane {
  const fast = createFastPaths(plans, options);
  const universal = createUniversalLane(plans, { ...options, protocols: "connect-and-grpc-web", counted: true });
  return (request, path, address, onKnown) => {
    const answer = fast.get(path)?.(request, address, onKnown);
    if (answer !== undefined) return answer;
    const handler = universal.get(path);
    return handler === undefined ? undefined : serve(handler, request, address(), onKnown);
  };
}

async function serve(
  handler: UniversalHandler,
  request: Request,
  address: string,
  onKnown: OnKnown,
): Promise<Response> {
  const method = request.method === "HEAD" ? "GET" : request.method; // Bun leaves out the body.
  const universal = { ...universalServerRequestFromFetch(request, {}), method, url: parsableUrl(request.url) };
  return toFetch(await handler(universal, address, onKnown));
}
