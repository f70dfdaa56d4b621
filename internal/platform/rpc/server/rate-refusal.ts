import type { OutgoingHttpHeaders } from "node:http2";
import type { Registry } from "@bufbuild/protobuf";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { endStreamFlag, endStreamToJson, errorToJson } from "@connectrpc/connect/protocol-connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { callErrors } from "../call/errors.ts";
import type { CallLife } from "../call/life.ts";
import { errorToRest } from "../rest/write-reply.ts";

/** The answer to a request that comes too fast: RESOURCE_EXHAUSTED, reason PEER_OVERLOADED. It is made once, and costs next to nothing. */
export interface RateRefusal {
  /** Headers of a response without body, over gRPC. */
  readonly grpc: OutgoingHttpHeaders;
  /** A response of the HTTP port, as the protocol of a call says it, or to whatever is no call. */
  http(request: Request, isCall: boolean): Response;
}

const retryAfter = { "retry-after": "1" };
const json = { ...retryAfter, "content-type": "application/json" };

/** Makes the answer. */
export function createRateRefusal({ describe }: Pick<CallLife, "describe">, registry: Registry): RateRefusal {
  const error = describe(callErrors.peerOverloaded());
  const status = { ...retryAfter, ...Object.fromEntries(setTrailerStatus(new Headers(), error)) };
  const rest = JSON.stringify(errorToRest(error, registry, 429));
  const connect = JSON.stringify(errorToJson(error, { registry }));
  const end = endStreamToJson(new Headers(retryAfter), error, { registry });
  const streamEnd = encodeEnvelope(endStreamFlag, new TextEncoder().encode(JSON.stringify(end)));
  return {
    grpc: { ":status": 200, "content-type": "application/grpc", ...status },
    http: (request, isCall) => {
      if (!isCall) return new Response(rest, { status: 429, headers: json });
      const contentType = request.headers.get("content-type") ?? "";
      if (contentType.startsWith("application/grpc-web")) {
        return new Response(null, { headers: { ...status, "content-type": contentType } });
      }
      if (contentType.startsWith("application/connect")) {
        return new Response(streamEnd, { headers: { "content-type": contentType } });
      }
      return new Response(connect, { status: 429, headers: json });
    },
  };
}
