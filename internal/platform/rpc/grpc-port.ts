import {
  createServer,
  createSecureServer,
  constants,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { Served } from "../app/define-service.ts";
import { callerAddress } from "./address.ts";
import { createGenericLane } from "./generic-lane.ts";
import { hostOf, tlsOf, type Port, type PortDeps } from "./http-port.ts";
import { PortTakenError } from "./port-taken-error.ts";

/** How long after a reply a request that is still being sent is cut off, in milliseconds. */
const unreadGraceMs = 5;

/** gRPC's code for a method that does not exist. */
const grpcUnimplemented = "12";

/** Creates the port for native gRPC, with health and reflection. */
export function createGrpcPort(options: PortDeps & { readonly served: readonly Served[] }): Port {
  const { limits, steps } = options;
  const lane = createGenericLane(options.plans, steps, {
    protocols: "grpc",
    limits,
    registry: options.registry,
    shutdownSignal: options.shutdownSignal,
  });
  const sessions = new Set<ServerHttp2Session>();

  const serve = async (request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> => {
    const path = request.url.split("?", 1)[0]!;
    const handler = lane.get(path);
    if (handler === undefined) {
      response.writeHead(200, {
        "content-type": "application/grpc",
        "grpc-status": grpcUnimplemented,
        "grpc-message": encodeURIComponent(`there is no method ${path}`),
      });
      response.end();
      return;
    }
    const forwardedFor = request.headers["x-forwarded-for"];
    const address = callerAddress(
      request.socket.remoteAddress ?? "",
      options.trustedHops === 0 || forwardedFor === undefined ? null : String(forwardedFor),
      options.trustedHops,
    );
    const answer = await handler(universalRequestFromNodeRequest(request, response, undefined, undefined), address);
    await universalResponseToNodeResponse(answer, response);
  };

  const onRequest = (request: Http2ServerRequest, response: Http2ServerResponse): void => {
    serve(request, response)
      .catch((error: unknown) => {
        if (!response.stream.destroyed) {
          options.log.debug("gRPC reply not delivered", { err: error });
          response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
        }
      })
      .finally(() => closeUnread(request, response));
  };

  const server =
    options.tls === undefined
      ? createServer({ settings: settingsOf(options) })
      : createSecureServer({ ...tlsOf(options.tls), settings: settingsOf(options) });
  server.on("request", onRequest);
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.on("error", (error) => options.log.debug("gRPC connection failed", { err: error }));
  });
  let listening = false;

  return {
    start: () =>
      new Promise((resolve, reject) => {
        server.once("error", (error: Error & { code?: string }) =>
          reject(error.code === "EADDRINUSE" ? new PortTakenError("grpc", options.port, error) : error),
        );
        server.listen(options.port, options.host, () => {
          listening = true;
          server.removeAllListeners("error");
          server.on("error", (error) => options.log.error("gRPC port failed", { err: error }));
          resolve();
        });
      }),
    stopAccepting: () => {
      if (!listening) return;
      server.close();
      for (const session of sessions) session.close();
    },
    stop: async () => {
      for (const session of sessions) session.destroy();
      if (listening) server.close();
      listening = false;
    },
    address: () => {
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("the gRPC port has not started");
      return `${hostOf(options.host)}:${address.port}`;
    },
  };
}

function settingsOf({ limits }: PortDeps): { maxConcurrentStreams: number; maxHeaderListSize: number } {
  return { maxConcurrentStreams: limits.streamsPerConnectionMax, maxHeaderListSize: limits.headerBytesMax };
}

/**
 * A call that failed before its request was read leaves the stream half open, and a client that still writes would hang. The
 * stream is closed without error a moment after the reply, so that the reply goes out first.
 */
function closeUnread(request: Http2ServerRequest, response: Http2ServerResponse): void {
  if (request.complete) return;
  setTimeout(() => {
    const { stream } = response;
    if (!stream.destroyed && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
  }, unreadGraceMs);
}
