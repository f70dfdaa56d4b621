import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";

/** Path of a request, without its query. */
export function pathOf(request: Http2ServerRequest): string {
  return request.url.split("?", 1)[0]!;
}

/** A request as the library's handlers take it; aborted when its stream breaks off. */
export function toUniversal(request: Http2ServerRequest, response: Http2ServerResponse): UniversalServerRequest {
  // The library makes a URL of it, and fails where there is none or one that no URL can have.
  Object.defineProperty(request, "authority", { value: "localhost" });
  return universalRequestFromNodeRequest(request, response, undefined, undefined);
}
