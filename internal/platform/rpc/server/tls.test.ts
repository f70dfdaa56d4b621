import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { createTestIssuer } from "../../testing/certificates.ts";
import { eventually } from "../../testing/eventually.ts";
import { caught, importMutant } from "../../testing/mutant.ts";
import { ProbeService } from "../testdata/probe_pb.ts";
import { startProbeServer, type ProbeServer } from "../testdata/start-probe-server.ts";
import { PortTakenError } from "./port-taken-error.ts";

const issuer = await createTestIssuer();
afterAll(() => issuer[Symbol.dispose]());
const first = await issuer.issue();
const second = await issuer.issue();
const headers = { authorization: "Bearer good" };

const ports = ({ addresses }: ProbeServer): readonly [http: number, grpc: number] => [
  Number(new URL(addresses.http).port),
  Number(addresses.grpc.split(":").at(-1)),
];

type Servers = { readonly startProbeServer: typeof startProbeServer };

/** A connection to the gRPC port on which nothing is said, not even in TLS. */
async function saysNothing({ startProbeServer }: Servers): Promise<void> {
  await using server = await startProbeServer({ tls: first, connectionLimits: { helloMsMax: 300 } });
  const socket = connectTcp(ports(server)[1], "127.0.0.1");
  using _ = { [Symbol.dispose]: () => void socket.destroy() };
  socket.resume();
  let isClosed = false;
  socket.once("close", () => (isClosed = true));
  await eventually(() => expect(isClosed).toBe(true), { timeoutMs: 3000 });
}

/** The certificate that a new connection is shown, in PEM, by a client that trusts the issuer; or the code of its failure. */
async function shown(port: number, options: ConnectionOptions = {}): Promise<string> {
  const socket = connectTls({ port, host: "127.0.0.1", ca: issuer.ca, ALPNProtocols: ["h2"], ...options });
  try {
    await once(socket, "secureConnect");
    const raw = socket
      .getPeerCertificate()
      .raw.toString("base64")
      .replaceAll(/(.{64})/g, "$1\n");
    return `-----BEGIN CERTIFICATE-----\n${raw.trimEnd()}\n-----END CERTIFICATE-----`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  } finally {
    socket.destroy();
  }
}

/** Calls without a pause, one after the other, over connections that are kept: how many were answered, and what went wrong. */
function callSteadily(server: ProbeServer) {
  const overGrpc = createGrpcTransport({ baseUrl: `https://${server.addresses.grpc}`, nodeOptions: { ca: issuer.ca } });
  const json = { ...headers, "content-type": "application/json" };
  const calls: readonly (() => Promise<unknown>)[] = [
    async () => {
      const url = `${server.addresses.http}/api/v1/slow-probes/a`;
      const reply = await fetch(url, { method: "POST", body: "{}", headers: json, tls: { ca: issuer.ca } });
      expect(reply.status).toBe(200);
      return reply.text();
    },
    createHttp2Caller(server.addresses.http, json),
    () => createClient(ProbeService, overGrpc).slow({ name: "a" }, { headers }),
  ];
  const answered = calls.map(() => 0);
  const failures: unknown[] = [];
  const over = new AbortController();
  const ended = Promise.all(
    calls.map(async (call, index) => {
      while (!over.signal.aborted) {
        await call().then(
          () => (answered[index] = (answered[index] ?? 0) + 1),
          (error: unknown) => failures.push(error),
        );
      }
    }),
  );
  return {
    answered,
    failures,
    end: async () => {
      over.abort();
      await ended;
    },
  };
}

/** Posts over one connection of HTTP/2, and takes another once the server says that it ends this one. */
function createHttp2Caller(url: string, headers: Readonly<Record<string, string>>): () => Promise<void> {
  let session: ClientHttp2Session | undefined;
  const post = async (): Promise<number | undefined> => {
    const opened = (session ??= connectHttp2(url, { ca: issuer.ca }).on("error", () => undefined));
    try {
      const request = opened.request({ ":method": "POST", ":path": "/api/v1/slow-probes/a", ...headers });
      request.end("{}");
      const [answer] = (await once(request, "response")) as [{ readonly ":status"?: number }];
      request.resume();
      await once(request, "close");
      return answer[":status"];
    } catch (error) {
      session = undefined;
      if ((error as NodeJS.ErrnoException).code === "ERR_HTTP2_GOAWAY_SESSION") return post(); // It sent nothing.
      throw error;
    }
  };
  return async () => expect(await post()).toBe(200);
}

/** Both ports show a new certificate to new connections, and no call fails meanwhile. */
async function expectSwap(start: typeof startProbeServer): Promise<void> {
  await using server = await start({ tls: first });
  for (const port of ports(server)) expect(await shown(port)).toBe(first.cert);
  const calls = callSteadily(server);
  await eventually(() => expect(Math.min(...calls.answered)).toBeGreaterThan(20));
  for (const next of [second, first, second]) {
    server.useTls(next);
    const before = [...calls.answered];
    await eventually(
      async () => {
        for (const port of ports(server)) {
          // One answer of many might come from the server that still retires.
          const all = await Promise.all(Array.from({ length: 8 }, () => shown(port)));
          expect([...new Set(all)]).toEqual([next.cert]);
        }
      },
      { timeoutMs: 5_000 },
    );
    await eventually(() => expect(calls.answered.every((count, i) => count > (before[i] ?? 0) + 20)).toBe(true));
  }
  await calls.end();
  expect(calls.failures).toEqual([]);
}

/** A call whose body comes in two halves, before and after the change, is answered, and its caller told to connect anew. */
async function expectEnd(start: typeof startProbeServer): Promise<void> {
  await using server = await start({ tls: first });
  const [port] = ports(server);
  const underWay = await open(port);
  const quiet = await open(port);
  const head =
    "POST /api/v1/slow-probes/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\nContent-Type: application/json";
  const post = (body: string): string => `${head}\r\nContent-Length: 2\r\n\r\n${body}`;
  underWay.send(post("{"));
  quiet.send(post("{}"));
  await eventually(() => expect(quiet.answer()).toContain("200 OK"));
  server.useTls(second);
  quiet.send(post("{}")); // Sent before it can know.
  await eventually(() => expect(quiet.answer()).toMatch(/200 OK[^]*200 OK[^]*connection: close/i));
  await eventually(async () => {
    const all = await Promise.all(Array.from({ length: 16 }, () => shown(port)));
    expect([...new Set(all)]).toEqual([second.cert]);
  });
  await eventually(() => expect(quiet.isClosed()).toBe(true)); // The old server has stopped.
  expect(underWay.isClosed()).toBe(false);
  underWay.send("}");
  await eventually(() => expect(underWay.answer()).toContain("200 OK"), { timeoutMs: 3000 });
}

/** A connection over which a test sends what it wants. */
async function open(port: number) {
  const socket = connectTls({ port, host: "127.0.0.1", ca: issuer.ca });
  let answer = "";
  let isClosed = false;
  socket.on("data", (chunk) => (answer += String(chunk)));
  socket.on("error", () => undefined);
  socket.on("close", () => (isClosed = true));
  await once(socket, "secureConnect");
  return { send: (text: string) => void socket.write(text), answer: () => answer, isClosed: () => isClosed };
}

const probeServer = join(import.meta.dir, "../testdata/start-probe-server.ts");
const httpPort = join(import.meta.dir, "http-port.ts");

describe("a new certificate", () => {
  test("is shown by both ports, and no call fails meanwhile", () => expectSwap(startProbeServer), 30_000);

  test("lets a call under way end, on the server that it came to", () => expectEnd(startProbeServer), 30_000);

  test.each([
    [
      "is left to reload",
      expectSwap,
      "server = listen(old.port ?? options.port, certificate);",
      "server = old; old.reload({ tls: tlsOf(certificate) } as never);",
    ],
    ["cuts calls off", expectEnd, "await old.stop(false);", "await old.stop(true);"],
    [
      "closes quiet connections at once",
      expectEnd,
      "await clock.sleep(retireMs, stopped.signal)",
      "await Promise.resolve()",
    ],
  ])(
    "the test notices when it %s",
    async (_, check, from, to) => {
      const mutant = await importMutant<{ startProbeServer: typeof startProbeServer }>(httpPort, from, to, [
        probeServer,
      ]);
      await caught(() => check(mutant.startProbeServer));
    },
    30_000,
  );

  test("that cannot be used leaves the old one on both ports", async () => {
    await using server = await startProbeServer({ tls: first });
    expect(() => server.useTls({ cert: "no certificate", key: second.key })).toThrow();
    for (const port of ports(server)) expect(await shown(port)).toBe(first.cert);
  });
});

describe("who connects", () => {
  test("has its time to say hello in TLS", async () => {
    await saysNothing({ startProbeServer });
    const mutant = await importMutant<Servers>(
      join(import.meta.dir, "grpc-port.ts"),
      "handshakeTimeout: options.connectionLimits.helloMsMax,",
      "",
      [probeServer],
    );
    await caught(() => saysNothing(mutant));
  }, 30_000);

  test("speaks TLS 1.2 at least", async () => {
    await using server = await startProbeServer({ tls: first });
    for (const port of ports(server)) {
      expect(await shown(port, { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" })).toBe(first.cert);
      expect(await answerTo(port, clientHello(2))).toMatch(/^15 030[0-3] 0002 0246$/); // Alert, fatal: protocol_version.
    }
  });

  test("shows a certificate of the issuer that is asked for, and no other one", async () => {
    using other = await createTestIssuer();
    await using server = await startProbeServer({ tls: { ...first, ca: issuer.ca } });
    const own = await issuer.issue({ names: ["spiffe://muin/router"] });
    const foreign = await other.issue({ names: ["spiffe://muin/router"] });
    const read = (tls: object): Promise<number | string> =>
      fetch(`${server.addresses.http}/healthz`, { tls: { ca: issuer.ca, ...tls } }).then(
        ({ status }) => status,
        () => "refused",
      );
    const call = (tls: object): Promise<string> => {
      const nodeOptions = { ca: issuer.ca, ...tls };
      const transport = createGrpcTransport({ baseUrl: `https://${server.addresses.grpc}`, nodeOptions });
      return createClient(ProbeService, transport)
        .slow({ name: "a" }, { headers })
        .then(
          () => "answered",
          () => "refused",
        );
    };
    for (const tls of [{}, foreign]) expect([await read(tls), await call(tls)]).toEqual(["refused", "refused"]);
    expect([await read(own), await call(own)]).toEqual([200, "answered"]);
  });
});

test("a port that another program holds is not shared with it", async () => {
  const taken = Bun.serve({ port: 0, hostname: "127.0.0.1", reusePort: true, fetch: () => new Response("other") });
  try {
    const http = { host: "127.0.0.1", port: taken.port ?? 0 };
    expect(await startProbeServer({ tls: first, http }).catch((error: unknown) => error)).toBeInstanceOf(
      PortTakenError,
    );
  } finally {
    await taken.stop(true);
  }
});

/** The first message of a client that speaks TLS 1.0 + `minor` - 1 at the most, in one record. */
function clientHello(minor: number): Buffer {
  const extensions = "000a00040002001d000b00020100"; // X25519, uncompressed points.
  const ciphers = "0002c013";
  const hello = `030${minor}${"01".repeat(32)}00${ciphers}0100${lengthOf(extensions, 2)}${extensions}`;
  const handshake = `01${lengthOf(hello, 3)}${hello}`;
  return Buffer.from(`160301${lengthOf(handshake, 2)}${handshake}`, "hex");
}

function lengthOf(hex: string, bytes: number): string {
  return (hex.length / 2).toString(16).padStart(bytes * 2, "0");
}

/** The record that a port answers with: type, version, length, content. */
async function answerTo(port: number, bytes: Buffer): Promise<string> {
  const socket = connectTcp(port, "127.0.0.1");
  socket.write(bytes);
  const [answer] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return answer.toString("hex").replace(/^(..)(....)(....)/, "$1 $2 $3 ");
}
