import {
  createServer,
  createSecureServer,
  constants,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { PolicySchema } from "../../../gen/muin/platform/v1/options_pb.ts";
import { serve, type Served } from "../../service/parts.ts";
import { callerAddress } from "./address.ts";
import { createGenericLane } from "../universal/lane.ts";
import { hostOf, tlsOf, type Port, type PortDeps } from "./http-port.ts";
import { createHealth } from "./health.ts";
import { planMethods, type MethodPlan } from "../call/plan.ts";
import { PortTakenError } from "./port-taken-error.ts";
import { createReflection } from "./reflection.ts";

/** How long after a reply a request that is still being sent is cut off, in milliseconds. */
const unreadGraceMs = 5;

/** What the gRPC port needs. */
export interface GrpcPortOptions extends PortDeps {
  /** What health and reflection speak of. */
  readonly served: readonly Served[];
}

/** Creates the port for native gRPC, with health and reflection. */
export function createGrpcPort(options: GrpcPortOptions): Port {
  const { limits, steps } = options;
  const shared = {
    protocols: "grpc",
    limits,
    registry: options.registry,
    shutdownSignal: options.shutdownSignal,
    streamsSignal: options.streamsSignal,
  } as const;
  const lane = new Map([
    // Asking for health must work under load too, and a watcher must not hold up a stop.
    ...createGenericLane(planAids(options), steps, { ...shared, counted: false }),
    ...createGenericLane(options.plans, steps, { ...shared, counted: true }),
  ]);
  const sessions = new Set<ServerHttp2Session>();

  const serve = async (request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> => {
    const path = request.url.split("?", 1)[0]!;
    const handler = lane.get(path);
    if (handler === undefined) {
      const trailer = setTrailerStatus(
        new Headers(),
        new ConnectError(`there is no method ${path}`, Code.Unimplemented),
      );
      const header = new Headers({ "content-type": "application/grpc" });
      await universalResponseToNodeResponse({ status: 200, header, trailer }, response);
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
    // Not after `serve`, which waits for the stream's end and so for what this causes.
    response.stream.once("finish", () => closeUnread(request, response));
    serve(request, response).catch((error: unknown) => {
      if (response.stream.destroyed) return;
      options.log.debug("gRPC reply not delivered", { err: error });
      response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    });
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

/** Health and reflection, for everybody: they tell nothing that the published protos do not. */
function planAids({ served, readiness, clock }: GrpcPortOptions): ReadonlyMap<string, MethodPlan> {
  const services = served.map(({ service }) => service);
  const described = [...services, Health, ServerReflection, ServerReflectionAlpha];
  const reflection = createReflection(described);
  const aids = [
    serve(Health, createHealth({ services: services.map(({ typeName }) => typeName), readiness, clock })),
    serve(ServerReflection, reflection),
    serve(ServerReflectionAlpha, reflection as unknown as ServiceImpl<typeof ServerReflectionAlpha>),
  ];
  return planMethods(aids, create(PolicySchema, { public: true }));
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
