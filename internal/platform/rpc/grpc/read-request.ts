import type { Http2ServerRequest, Http2ServerResponse, IncomingHttpHeaders } from "node:http2";
import { universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import type { UniversalServerRequest } from "@connectrpc/connect/protocol";

/** Path of a request, without its query. */
export function pathOf({ ":path": path = "" }: IncomingHttpHeaders): string {
  const query = path.indexOf("?");
  return query < 0 ? path : path.slice(0, query);
}

/** A request as the library's handlers take it; aborted when its stream breaks off. */
export function toUniversal(request: Http2ServerRequest, response: Http2ServerResponse): UniversalServerRequest {
  // The library makes a URL of it, and fails where there is none or one that no URL can have.
  Object.defineProperty(request, "authority", { value: "localhost" });
  return universalRequestFromNodeRequest(request, response, undefined, undefined);
}
