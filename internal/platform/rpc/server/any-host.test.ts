import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect as connectHttp2, type OutgoingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";
import { caught, importMutant } from "../../testing/mutant.ts";
import { startProbeServer } from "../testdata/start-probe-server.ts";

/** Sends a request by hand and returns the status and the body of the answer. */
async function send(url: string, head: string, body = ""): Promise<string> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.write(`${head}\r\nConnection: close\r\n\r\n${body}`);
  let answer = "";
  socket.on("data", (chunk) => (answer += String(chunk)));
  await once(socket, "close");
  const [status = "", ...rest] = answer.split("\r\n\r\n");
  return `${status.split(" ")[1]} ${rest.join("").trim()}`;
}

/** The same request with every kind of host, by the request line that `target` and `version` make. */
const hosts: readonly (readonly [name: string, line: (target: string) => string])[] = [
  ["a usual host", (target) => `${target} HTTP/1.1\r\nHost: muin.example`],
  ["no host, HTTP/1.0", (target) => `${target} HTTP/1.0\r\nAccept: */*`],
  ["an empty host", (target) => `${target} HTTP/1.1\r\nHost:`],
  ["an empty host, HTTP/1.0", (target) => `${target} HTTP/1.0\r\nHost:`],
  ["a host that no URL has", (target) => `${target} HTTP/1.1\r\nHost: a b`],
  ["a host with a path", (target) => `${target} HTTP/1.1\r\nHost: a/readyz`],
  ["a host with a query", (target) => `${target} HTTP/1.1\r\nHost: a?b`],
  ["a host with a user", (target) => `${target} HTTP/1.1\r\nHost: u:p@a`],
  ["a port beyond all", (target) => `${target} HTTP/1.1\r\nHost: a:99999`],
  ["half an IPv6 address", (target) => `${target} HTTP/1.1\r\nHost: [::1`],
  ["an absolute target", (target) => `${target.replace(" ", " http://other.example")} HTTP/1.1\r\nHost: a`],
  ["an absolute target, HTTP/1.0", (target) => `${target.replace(" ", " http://other.example")} HTTP/1.0\r\nA: b`],
];

const connectJson = "Content-Type: application/json\r\nAuthorization: Bearer good\r\nContent-Length: 12\r\n";
const probeReply = '{"name":"a","amount":"1","principal":"api_key:k1"}';

/** What the same requests get, whatever their host. */
async function answers(start: typeof startProbeServer, line: (target: string) => string): Promise<readonly string[]> {
  await using server = await start({ readiness: () => "the stores are away" });
  const { http } = server.addresses;
  const call = (method: string) =>
    send(http, `${line(`POST /muin.probe.v1.ProbeService/${method}`)}\r\n${connectJson.trim()}`, `{"name":"a"}`);
  return [
    await send(http, line("GET /readyz")),
    await send(http, line("GET /healthz?a=/b")),
    await send(http, line("GET /a/../healthz")),
    await send(http, line("GET /%2e/healthz")),
    (await send(http, line("GET /api/v1/looks/a:brief?nested.name=n"))).slice(0, 14),
    await call("Fast"),
    await call("Slow"),
  ];
}

const right = [
  "503 not ready",
  "200 ok",
  "200 ok",
  "200 ok",
  '200 {"name":"n',
  `200 ${probeReply}`,
  `200 ${probeReply}`,
];

describe("the same routes whatever the host is", () => {
  test.each(hosts)("%s", async (_, line) => {
    expect(await answers(startProbeServer, line)).toEqual(right);
  });

  test("the operator port answers a load balancer that names no host", async () => {
    await using server = await startProbeServer({ readiness: () => "the stores are away" });
    const { operator } = server.addresses;
    expect(await send(operator, "GET /readyz HTTP/1.0\r\nAccept: */*")).toBe("503 not ready: the stores are away");
    expect(await send(operator, "GET /healthz HTTP/1.0\r\nHost:")).toBe("200 ok");
    expect(await send(operator, "GET /healthz HTTP/1.1\r\nHost: localhost:99999")).toBe("200 ok");
    expect(await send(operator, "GET http://other.example/healthz HTTP/1.1\r\nHost: localhost")).toBe("200 ok");
    expect(await send(operator, "GET /healthz HTTP/1.1\r\nHost: other.example")).toStartWith("421 ");
  });

  test.each<readonly [name: string, headers: OutgoingHttpHeaders]>([
    ["without", {}],
    ["with an empty one", { ":authority": "" }],
    ["with one that no URL has", { ":authority": "a:99999" }],
  ])("gRPC %s", async (_, authority) => {
    await using server = await startProbeServer();
    const session = connectHttp2(`http://${server.addresses.grpc}`);
    try {
      const request = session.request({
        ":method": "POST",
        ":path": "/grpc.health.v1.Health/Check",
        ":authority": undefined,
        "content-type": "application/grpc",
        te: "trailers",
        ...authority,
      });
      request.end(Buffer.alloc(5)); // An empty message.
      request.resume();
      const [trailers] = (await once(request, "trailers")) as [{ readonly "grpc-status"?: string }];
      expect(trailers["grpc-status"]).toBe("0");
    } finally {
      session.destroy();
    }
  });

  test.each([
    ["the path is taken from an absolute URL alone", `url.startsWith("/") ? 0 : `, ""],
    ["dots are left where there is no host", "unresolved.test(path)", "false"],
    ["the library gets the caller's host", "return `http://localhost${url.slice(targetStart(url))}`", "return url"],
  ])("the tests notice when %s", async (_, from, to) => {
    const mutant = await importMutant<{ startProbeServer: typeof startProbeServer }>(
      join(import.meta.dir, "../call/target.ts"),
      from,
      to,
      [join(import.meta.dir, "../testdata/start-probe-server.ts")],
    );
    await caught(async () => {
      for (const [, line] of hosts) expect(await answers(mutant.startProbeServer, line)).toEqual(right);
    });
  });
});
