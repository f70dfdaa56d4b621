import {
  createServer,
  createSecureServer,
  constants,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { PolicySchema } from "../../../gen/muin/platform/v1/options_pb.ts";
import { serve } from "../../service/parts.ts";
import { callerAddress } from "./address.ts";
import { createGrpcLane } from "../grpc/lane.ts";
import { hostOf, tlsOf, tlsVersionMin, type Port, type PortDeps } from "./port.ts";
import { createHealth } from "./health.ts";
import { planMethods, servicesOf, type MethodPlans } from "../call/plan.ts";
import { PortTakenError } from "./port-taken-error.ts";
import { createReflection } from "./reflection.ts";
import { refuseHead } from "./request-head.ts";

/** Creates the port for native gRPC, with health and reflection. */
export function createGrpcPort(options: PortDeps): Port {
  const lane = createGrpcLane({ plans: options.plans, aids: planAids(options) }, options);
  const sessions = new Set<ServerHttp2Session>();

  const onRequest = (request: Http2ServerRequest, response: Http2ServerResponse): void => {
    options.unreadForwarding.look((name) => request.headers[name]);
    const refusal = refuseHead(request.method, hostsOf(request));
    if (refusal !== undefined) {
      response.writeHead(refusal.status).end();
      return;
    }
    lane(request, response, addressOf(request, options.trustedHops)).catch((error: unknown) => {
      if (response.stream.destroyed) return;
      options.log.debug("gRPC reply not delivered", { err: error });
      response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    });
  };

  const server =
    options.tls === undefined
      ? createServer({ settings: settingsOf(options) })
      : createSecureServer({ ...tlsOf(options.tls), settings: settingsOf(options), minVersion: tlsVersionMin });
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
    useTls: (tls) => {
      (server as Http2SecureServer).setSecureContext({ ...tlsOf(tls), minVersion: tlsVersionMin });
    },
  };
}

function addressOf({ socket, headers }: Http2ServerRequest, trustedHops: number): string {
  const forwardedFor = headers["x-forwarded-for"];
  const isTrusted = trustedHops > 0 && forwardedFor !== undefined;
  return callerAddress(socket.remoteAddress ?? "", isTrusted ? String(forwardedFor) : null, trustedHops);
}

/** The host that a request names, or several, joined by commas: one by HTTP/2's own field, another by a header. */
function hostsOf({ headers }: Http2ServerRequest): string | undefined {
  const { host, ":authority": authority } = headers;
  return host === undefined || authority === undefined || host === authority
    ? (authority ?? host)
    : `${authority},${host}`;
}

/** Health and reflection, for everybody: they tell nothing that the published protos do not. */
function planAids({ plans, hides, readiness, clock }: PortDeps): MethodPlans {
  const services = servicesOf(plans);
  const reflection = createReflection([...services, Health, ServerReflection, ServerReflectionAlpha], hides);
  const aids = [
    serve(Health, createHealth({ services: services.map(({ typeName }) => typeName), readiness, clock })),
    serve(ServerReflection, reflection),
    serve(ServerReflectionAlpha, reflection as unknown as ServiceImpl<typeof ServerReflectionAlpha>),
  ];
  return planMethods(aids, { policy: create(PolicySchema, { public: true }) });
}

function settingsOf({ limits }: PortDeps): { maxConcurrentStreams: number; maxHeaderListSize: number } {
  return { maxConcurrentStreams: limits.streamsPerConnectionMax, maxHeaderListSize: limits.headerBytesMax };
}
