import {
  createServer,
  createSecureServer,
  constants,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from "node:http2";
import type { Socket } from "node:net";
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { CallerKind, PolicySchema } from "../../../gen/muin/platform/v1/options_pb.ts";
import { serve } from "../../service/parts.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { callerAddress } from "./address.ts";
import { systemRandom } from "../../clock/random.ts";
import { createGrpcConnections, type GrpcConnection } from "./grpc-connections.ts";
import { callErrors, connectError } from "../call/errors.ts";
import { createGrpcLane, type GrpcRequest } from "../grpc/lane.ts";
import { pathOf } from "../grpc/read-request.ts";
import { closeUnread } from "../grpc/write-reply.ts";
import { sendError } from "../grpc/write-stream.ts";
import { hostOf, tlsOf, tlsVersionMin, type Port, type PortDeps } from "./port.ts";
import { createHealth } from "./health.ts";
import { planMethods, servicesOf, type MethodPlans } from "../call/plan.ts";
import { PortTakenError } from "./port-taken-error.ts";
import { createRateRefusal } from "./rate-refusal.ts";
import { createReflection } from "./reflection.ts";
import { refuseHead } from "./request-head.ts";

/** What whoever watches over the process asks. */
const healthPath = `/${Health.typeName}/${Health.method.check.name}`;

/** Creates the port for native gRPC, with health and reflection. */
export function createGrpcPort(options: PortDeps): Port {
  const lane = createGrpcLane({ plans: options.plans, aids: planAids(options) }, options);
  const connections = createGrpcConnections({
    limits: options.connectionLimits,
    clock: options.clock,
    random: systemRandom,
    log: options.log,
    behindProxy: options.trustedHops > 0,
    rates: options.rates,
  });
  const isTooFast = createRateGuard(options);

  let pending = 0;
  const onStream = (request: GrpcRequest): void => {
    const { stream, headers } = request;
    const session = stream.session as ServerHttp2Session | undefined;
    const connection = session === undefined || session.destroyed ? undefined : connections.of(session);
    if (connection === undefined || isTooFast(request, connection)) return; // It is over already, or now.
    options.unreadForwarding.look((name) => headers[name]);
    const refusal = refuseHead(headers[":method"] ?? "", hostsOf(headers), headers[":path"] ?? "");
    if (refusal !== undefined) {
      const allow = refusal.status === 405 ? { allow: "POST" } : {};
      stream.respond({ ":status": refusal.status, ...allow }, { endStream: true });
      return;
    }
    pending += 1;
    stream.once("close", () => (pending -= 1));
    if (!connection.take(stream, headers.authorization !== undefined)) {
      // REFUSED_STREAM would be right, but Bun sends it after an empty DATA, or not at all.
      return sendError(stream, options.life.describe(connectError(callErrors.table.overloaded)));
    }
    const address = (): string => addressOf(request, options.trustedHops);
    lane(request, address, () => connection.know()).catch((error: unknown) => closeFailed(stream, error, options.log));
  };

  const server = createHttp2Server(options);
  server.on("stream", (stream: ServerHttp2Stream, headers, _flags, rawHeaders: string[]) =>
    onStream({ stream, headers, rawHeaders }),
  );
  admitFirst(server, (socket) => connections.admits(socket.remoteAddress));
  server.on("session", (session) => connections.add(session));
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
          resolve(connections.start());
        });
      }),
    stopAccepting: () => {
      if (!listening) return;
      server.close();
      connections.closeAll();
    },
    pending: () => pending,
    stop: async () => {
      connections.destroyAll();
      await connections.stop();
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

/** Whether a request without credentials comes too fast; it is answered then, or its connection ends. */
function createRateGuard({
  life,
  registry,
  rates,
  trustedHops,
}: PortDeps): (request: GrpcRequest, connection: GrpcConnection) => boolean {
  const tooFast = createRateRefusal(life, registry);
  return (request, connection) => {
    const { stream, headers } = request;
    if (headers.authorization !== undefined) return false;
    const what = pathOf(headers) === healthPath ? "probe" : "request";
    const passage = rates.pass(addressOf(request, trustedHops), what);
    if (passage === "passes") return false;
    if (passage === "flood" && connection.isStrangers) {
      connection.calm();
    } else {
      stream.respond(tooFast.grpc, { endStream: true });
      closeUnread(stream);
    }
    return true;
  };
}

function createHttp2Server(options: PortDeps): Http2Server | Http2SecureServer {
  if (options.tls === undefined) return createServer(http2Of(options));
  return createSecureServer({
    ...tlsOf(options.tls),
    ...http2Of(options),
    minVersion: tlsVersionMin,
    handshakeTimeout: options.connectionLimits.helloMsMax,
  });
}

/** Closes connections that are not admitted before anything is made of them, such as a session or keys of TLS. */
function admitFirst(server: Http2Server | Http2SecureServer, admits: (socket: Socket) => boolean): void {
  const [accept] = server.listeners("connection");
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => {
    if (admits(socket)) accept?.call(server, socket);
    else socket.destroy();
  });
}

function addressOf({ stream, headers }: GrpcRequest, trustedHops: number): string {
  const forwardedFor = headers["x-forwarded-for"];
  const isTrusted = trustedHops > 0 && forwardedFor !== undefined;
  return callerAddress(
    stream.session?.socket.remoteAddress ?? "",
    isTrusted ? String(forwardedFor) : null,
    trustedHops,
  );
}

function closeFailed(stream: ServerHttp2Stream, error: unknown, log: Logger): void {
  if (stream.destroyed) return;
  log.debug("gRPC reply not delivered", { err: error });
  stream.close(constants.NGHTTP2_INTERNAL_ERROR);
}

/** The host that a request names, or several, joined by commas: one by HTTP/2's own field, another by a header. */
function hostsOf({ host, ":authority": authority }: IncomingHttpHeaders): string | undefined {
  return host === undefined || authority === undefined || host === authority
    ? (authority ?? host)
    : `${authority},${host}`;
}

/** Devices are not among them: they sign every call, and a stream cannot be signed. */
const reflectionCallers = [CallerKind.PERSON, CallerKind.API_KEY, CallerKind.SERVICE];

/** Health, for everybody, and reflection, for whoever shows credentials. */
function planAids({ plans, hides, readiness, clock }: PortDeps): MethodPlans {
  const services = servicesOf(plans);
  const reflection = createReflection([...services, Health, ServerReflection, ServerReflectionAlpha], hides);
  const health = createHealth({ services: services.map(({ typeName }) => typeName), readiness, clock });
  const aids = planMethods([serve(Health, health)], { policy: create(PolicySchema, { public: true }) });
  const described = [
    serve(ServerReflection, reflection),
    serve(ServerReflectionAlpha, reflection as unknown as ServiceImpl<typeof ServerReflectionAlpha>),
  ];
  return planMethods(described, {
    plans: new Map(aids),
    policy: create(PolicySchema, { callers: reflectionCallers }),
  });
}

/** What the protocol library bounds by itself. Resets beyond its limits end a connection at once, a known caller's too. */
function http2Of({ limits, connectionLimits }: PortDeps): ServerOptions {
  return {
    settings: { maxConcurrentStreams: limits.streamsPerConnectionMax, maxHeaderListSize: limits.headerBytesMax },
    maxHeaderListPairs: connectionLimits.headersMax,
    streamResetBurst: connectionLimits.knownResetsMax,
    streamResetRate: connectionLimits.knownResetsPerS,
  };
}
