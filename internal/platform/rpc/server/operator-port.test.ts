import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { systemClock } from "../../clock/clock.ts";
import { importMutant } from "../../testing/mutant.ts";
import * as real from "../testdata/start-probe-server.ts";

type Start = Pick<typeof real, "startProbeServer">;

async function get(url: string): Promise<string> {
  const response = await fetch(url);
  return `${response.status} ${(await response.text()).trim()}`;
}

async function* ask() {
  yield { messageRequest: { case: "listServices", value: "" } as const };
}

function codeOf(call: Promise<unknown>): Promise<Code | undefined> {
  return call.then(
    () => undefined,
    (error: unknown) => ConnectError.from(error).code,
  );
}

/** What the public ports and the operator's say of a process that is ready, then of one that is not. */
async function said({ startProbeServer }: Start) {
  let problem: string | undefined;
  await using server = await startProbeServer({
    readiness: () => problem,
    degraded: () => ["the outbox is long"],
    extraRoutes: { "/": () => new Response("up") },
    operator: { host: "127.0.0.1", port: 0, pages: { "/metrics": () => new Response("muin_metric 1\n") } },
  });
  const { http, operator } = server.addresses;
  const good = [await get(`${http}/readyz`), await get(`${operator}/readyz`)];
  problem = "the counts store is away";
  const bad = [await get(`${http}/readyz`), await get(`${operator}/readyz`)];
  const call = await fetch(`${operator}/muin.probe.v1.ProbeService/Fast`, {
    method: "POST",
    headers: { authorization: "Bearer good", "content-type": "application/json" },
    body: `{"name":"a"}`,
  });
  return {
    good,
    bad,
    metrics: [(await fetch(`${http}/metrics`)).status, await get(`${operator}/metrics`)],
    absent: [await get(`${operator}/`), await get(`${operator}/openapi.json`)],
    calls: [call.status, (await fetch(`${operator}/metrics`, { method: "TRACE" })).status],
    alive: [await get(`${http}/healthz`), await get(`${operator}/healthz`)],
    browsers: (await fetch(`${operator}/metrics`)).headers.get("x-content-type-options"),
  };
}

const rightly: Awaited<ReturnType<typeof said>> = {
  good: ["200 ready", "200 ready\ndegraded: the outbox is long"],
  bad: ["503 not ready", "503 not ready: the counts store is away"],
  metrics: [404, "200 muin_metric 1"],
  absent: ["404 there is nothing at /", "404 there is nothing at /openapi.json"],
  calls: [405, 405],
  alive: ["200 ok", "200 ok"],
  browsers: "nosniff",
};

/** How many of 250 pages one peer gets within a second, and whether it then learns of readiness, and has pages in the next second. */
async function got({ startProbeServer }: Start) {
  let nowMs = 0;
  await using server = await startProbeServer({
    clock: { ...systemClock, monotonic: () => nowMs },
    operator: { host: "127.0.0.1", port: 0, pages: { "/metrics": () => new Response("") } },
  });
  const statusOf = async (path: string): Promise<number> => (await fetch(server.addresses.operator + path)).status;
  const statuses: number[] = [];
  for (let count = 0; count < 250; count += 1) statuses.push(await statusOf("/metrics"));
  const ready = await statusOf("/readyz");
  nowMs = 1000;
  return [statuses.filter((status) => status === 200).length, statuses.at(-1), ready, await statusOf("/metrics")];
}

/** How the operator port answers on every kind of page to who calls it by a name. */
async function statusesByName({ startProbeServer }: Start, names: readonly string[]) {
  await using server = await startProbeServer({
    operator: { host: "127.0.0.1", port: 0, pages: { "/metrics": () => new Response("") }, names: ["Node-1.internal"] },
  });
  const rows: (string | number)[][] = [];
  for (const host of names) {
    const statuses: number[] = [];
    for (const path of ["/metrics", "/readyz", "/healthz", "/absent"]) {
      statuses.push((await fetch(server.addresses.operator + path, { headers: { host } })).status);
    }
    rows.push([host, ...statuses]);
  }
  return rows;
}

const ownNames = [
  "127.0.0.1:9091",
  "192.0.2.7",
  "[::1]:9091",
  "[2001:db8::1]",
  "localhost",
  "LOCALHOST:9091",
  "node-1.internal:9091",
];
const foreignNames = [
  "rebound.example:9091",
  "127.0.0.1.rebound.example",
  "localhost.rebound.example:9091",
  "node-1.internal.example",
  "x.node-1.internal",
  "a.localhost",
  "u@127.0.0.1",
  "[rebound.example]",
];
const byName = [
  ...ownNames.map((name) => [name, 200, 200, 200, 404]),
  ...foreignNames.map((name) => [name, 421, 421, 421, 421]),
];

/** How reflection, of both versions, and health answer those without credentials, with wrong ones, and with those of each kind. */
async function answers({ startProbeServer }: Start) {
  await using server = await startProbeServer();
  const transport = createGrpcTransport({ baseUrl: `http://${server.addresses.grpc}` });
  const codes: (Code | undefined)[][] = [];
  for (const key of [undefined, "wrong", "scopeless", "person", "undeclared"]) {
    const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
    const calls = [ServerReflection, ServerReflectionAlpha as unknown as typeof ServerReflection].map((service) =>
      Array.fromAsync(createClient(service, transport).serverReflectionInfo(ask(), { headers })),
    );
    calls.push(
      createClient(Health, transport)
        .check({}, key === "wrong" ? {} : { headers })
        .then(() => []),
    );
    codes.push(await Promise.all(calls.map(codeOf)));
  }
  return codes;
}

const admitted = [undefined, undefined, undefined];
const refused = [Code.Unauthenticated, Code.Unauthenticated, undefined];
const entry = join(import.meta.dir, "../testdata/start-probe-server.ts");

describe("the operator port", () => {
  test("shows what strangers are not told on the public one, and takes no calls", async () => {
    expect(await said(real)).toEqual(rightly);
  });

  test("answers to addresses, localhost and its names alone, so that no page of a foreign site reads it", async () => {
    expect(await statusesByName(real, [...ownNames, ...foreignNames])).toEqual(byName);
  });

  test.each([
    ["to every name", "operator-handler.ts", `if (host !== "" && !isOwnName(host))`, "if (false)"],
    ["to addresses alone", "operator-names.ts", " || known.has(name)", ""],
    ["to what begins like an address", "operator-names.ts", "isIP(name) > 0", "/^127/.test(name)"],
  ])("a mutant that answers %s is noticed", async (_name, file, from, to) => {
    const mutant = await importMutant<Start>(join(import.meta.dir, file), from, to, [entry]);
    expect(await statusesByName(mutant, [...ownNames, ...foreignNames])).not.toEqual(byName);
  });

  test("bounds the pages of a peer, and not what watches over the process", async () => {
    expect(await got(real)).toEqual([200, 429, 200, 200]);
  });

  test.each([
    [
      "tells strangers the reason",
      "fetch-handler.ts",
      `textPage(503, "not ready")`,
      "textPage(503, String(readiness()))",
    ],
    ["keeps the reason from operators", "operator-handler.ts", "`not ready: ${reason}`", `"not ready"`],
    ["says nothing of what is degraded", "operator-handler.ts", "...degraded().map", "...[].map"],
    ["takes every method", "operator-handler.ts", `request.method !== "GET" &&`, "false &&"],
  ])("a mutant that %s is noticed", async (_name, file, from, to) => {
    const mutant = await importMutant<Start>(join(import.meta.dir, file), from, to, [entry]);
    expect(await said(mutant)).not.toEqual(rightly);
  });

  test("a mutant without a bound is noticed", async () => {
    const file = join(import.meta.dir, "operator-handler.ts");
    const mutant = await importMutant<Start>(file, 'rates.pass(peer()) === "passes"', "true", [entry]);
    expect(await got(mutant)).not.toEqual([200, 429, 200, 200]);
  });
});

describe("reflection", () => {
  test("answers whoever shows credentials, and health everybody", async () => {
    expect(await answers(real)).toEqual([refused, refused, admitted, admitted, admitted]);
  });

  test("a mutant that tells everybody is noticed", async () => {
    const file = join(import.meta.dir, "grpc-port.ts");
    const mutant = await importMutant<Start>(file, "{ callers: reflectionCallers }", "{ public: true }", [entry]);
    expect(await answers(mutant)).not.toEqual([refused, refused, admitted, admitted, admitted]);
  });
});
