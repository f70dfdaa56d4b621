import { fromJson, toJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { validate } from "../testdata/validate-openapi.ts";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ColourSchema, LookResponseSchema, NestedSchema } from "../testdata/probe_pb.ts";
import { testRawBodies } from "../testdata/raw-bodies.ts";
import { startProbeServer, type ProbeServer } from "../testdata/start-probe-server.ts";

let server: ProbeServer;
beforeAll(async () => {
  server = await startProbeServer();
});
afterAll(() => server.stop());

async function get(path: string, init: RequestInit = {}): Promise<{ status: number; body: JsonObject }> {
  const response = await fetch(server.addresses.http + path, init);
  expect(response.headers.get("content-type")).toStartWith("application/json");
  return { status: response.status, body: (await response.json()) as JsonObject };
}
/** The request as the handler saw it, without the fields that are at their default. */
async function seen(path: string, init?: RequestInit): Promise<JsonValue> {
  const { status, body } = await get(path, init);
  expect([status, body]).toEqual([200, body]);
  return (toJson(LookResponseSchema, fromJson(LookResponseSchema, body)) as JsonObject)["request"]!;
}

test.each([
  ["/api/v1/looks/abc", { name: "abc" }],
  ["/api/v1/looks/a%20b%2Fc%C3%A9", { name: "a b/cé" }],
  ["/api/v1/looks/a:b", { name: "a:b" }],
  ["/api/v1/looks:all?name=x", { name: "x" }],
  ["/api/v1/looks:all?name=a+b%26", { name: "a b&" }],
  ["/api/v1/deep/shelves/s%201/books/b", { nested: { name: "shelves/s 1/books/b" } }],
  ["/api/v1/rest/a/b%2Fc/d", { name: "a/b%2Fc/d" }],
  ["/api/v1/looks/a?big=-9223372036854775808", { name: "a", big: "-9223372036854775808" }],
  ["/api/v1/looks/a?small=4294967295&flag=true&ratio=1.5", { name: "a", small: 4294967295, flag: true, ratio: 1.5 }],
  ["/api/v1/looks/a?ratio=NaN&raw=AQI%3D", { name: "a", ratio: "NaN", raw: "AQI=" }],
  [
    "/api/v1/looks/a?colour=COLOUR_RED&colours=COLOUR_RED&colours=COLOUR_BLUE",
    { name: "a", colour: "COLOUR_RED", colours: ["COLOUR_RED", "COLOUR_BLUE"] },
  ],
  ["/api/v1/looks/a?tags=x&tags=y&tags=", { name: "a", tags: ["x", "y", ""] }],
  [
    "/api/v1/looks/a?nested.name=n&nested.nested.numbers=1&nested.nested.numbers=2",
    { name: "a", nested: { name: "n", nested: { numbers: ["1", "2"] } } },
  ],
  [
    "/api/v1/looks/a?wait=1.5s&at=2026-11-20T10:00:00Z&mask=name,nested.name",
    { name: "a", wait: "1.500s", at: "2026-11-20T10:00:00Z", mask: "name,nested.name" },
  ],
  [
    "/api/v1/looks/a?maybe_big=9007199254740993&maybe_flag=false",
    { name: "a", maybeBig: "9007199254740993", maybeFlag: false },
  ],
  ["/api/v1/looks/a?maybeBig=1", { name: "a", maybeBig: "1" }],
  ["/api/v1/looks/a?mask=maybe_big,nested.maybe_flag", { name: "a", mask: "maybeBig,nested.maybeFlag" }],
  ["/api/v1/looks/a?mask=maybeBig,%20maybe_flag", { name: "a", mask: "maybeBig,maybeFlag" }],
  ["/api/v1/looks/a?mask=*", { name: "a", mask: "*" }],
] as const)("GET %s", async (path, request) => {
  expect(await seen(path)).toEqual(request as JsonValue);
});

test.each([
  ["/api/v1/looks/a?unknown=1", "query parameter unknown is unknown", "QUERY_PARAMETER_INVALID"],
  ["/api/v1/looks/a?nested.unknown=1", "query parameter nested.unknown is unknown", "QUERY_PARAMETER_INVALID"],
  ["/api/v1/looks/a?name=b", "query parameter name stands in the path already", "QUERY_PARAMETER_INVALID"],
  [
    "/api/v1/looks/a?at=2026-11-20T10:00:00Z&at.seconds=5",
    "query parameter at.seconds is unknown",
    "QUERY_PARAMETER_INVALID",
  ],
  ["/api/v1/looks/a?mask=name&mask.paths=name", "query parameter mask.paths is unknown", "QUERY_PARAMETER_INVALID"],
  ["/api/v1/looks/a?maybe_big.value=1", "query parameter maybe_big.value is unknown", "QUERY_PARAMETER_INVALID"],
  ["/api/v1/looks/a?big=1&big=2", "query parameter big stands twice", "QUERY_PARAMETER_INVALID"],
  ["/api/v1/looks/a?nested=x", "query parameter nested needs its fields named, with a dot", "QUERY_PARAMETER_INVALID"],
  [
    "/api/v1/looks/a?labels=x",
    "query parameter labels cannot be given as a query parameter",
    "QUERY_PARAMETER_INVALID",
  ],
  [
    "/api/v1/looks/a?big=9223372036854775808",
    "query parameter big must be a whole number that int64 holds",
    "QUERY_PARAMETER_INVALID",
  ],
  ["/api/v1/looks/a?flag=yes", "query parameter flag must be true or false", "QUERY_PARAMETER_INVALID"],
  [
    "/api/v1/looks/a?colour=RED",
    "query parameter colour must be one of COLOUR_UNSPECIFIED, COLOUR_RED, COLOUR_BLUE",
    "QUERY_PARAMETER_INVALID",
  ],
  ["/api/v1/looks/a?at=tomorrow", undefined, "QUERY_PARAMETER_INVALID"],
  ["/api/v1/looks/%ZZ", "the path /api/v1/looks/%ZZ is not percent-encoded", "INVALID_ARGUMENT"],
] as const)("GET %s is refused", async (path, message, reason) => {
  const { status, body } = await get(path);
  const error = body["error"] as JsonObject;
  expect([status, error["code"], error["status"]]).toEqual([400, 400, "INVALID_ARGUMENT"]);
  if (message !== undefined) expect(error["message"]).toBe(message);
  expect((error["details"] as JsonObject[])[0]).toMatchObject({ reason, domain: "muin" });
});

const headers = { authorization: "Bearer good", "content-type": "application/json" };

test("the body is one field, or all but the path, and the path wins", async () => {
  const nested = await seen("/api/v1/looks/a/nested?tags=x", {
    method: "POST",
    headers,
    body: `{"name":"n","numbers":["5"]}`,
  });
  expect(nested).toEqual({ name: "a", tags: ["x"], nested: { name: "n", numbers: ["5"] } });
  const { body } = await get("/api/v1/probes/path", { method: "POST", headers, body: `{"name":"body","amount":3}` });
  expect(body).toEqual({ name: "path", amount: "3", requestId: "", principal: "api_key:k1" });
});

test.each([
  [`{"maybe_big":"5","nested":{"numbers":[1,"2"]}}`, { maybeBig: "5", nested: { numbers: ["1", "2"] } }],
  [
    `{"maybeBig":5,"colour":"COLOUR_RED","colours":["COLOUR_BLUE"]}`,
    { maybeBig: "5", colour: "COLOUR_RED", colours: ["COLOUR_BLUE"] },
  ],
  [`{"mask":"maybe_big,colours"}`, { mask: "maybeBig,colours" }],
  [`{"mask":"maybeBig"}`, { mask: "maybeBig" }],
] as const)("names and numbers in both of their forms: %s", async (body, request) => {
  expect(await seen("/api/v1/looks:whole", { method: "POST", headers, body })).toEqual(request as JsonValue);
});

test.each([
  [`{"nested":{"name":"n"}}`, undefined], // A nested message has such a field itself.
  [
    `{"maybeBig":"1"}`,
    "the body is the request's field nested itself: give maybeBig as a query parameter or in the path",
  ],
  [`{"bogus":1}`, 'cannot decode message muin.probe.v1.Nested from JSON: key "bogus" is unknown'],
] as const)("what stands around the body's field is refused with what to do: %s", async (sent, message) => {
  const { status, body } = await get("/api/v1/looks/a/nested", { method: "POST", headers, body: sent });
  expect([status, (body["error"] as JsonObject | undefined)?.["message"]]).toEqual([
    message === undefined ? 200 : 400,
    message,
  ]);
});

test("a reply shows its zeros, and response_body names a part of it", async () => {
  const { body } = await get("/api/v1/looks/a:brief?nested.name=n");
  expect(body).toEqual({ name: "n", numbers: [] });
  expect(await get("/api/v1/probes/a", { method: "POST", headers, body: `{"amount":0}` })).toMatchObject({
    body: { amount: "0" },
  });
});

test.each([
  ["POST", "looks:whole", `{"colour":1}`, "colour"],
  ["POST", "looks:whole", `{"colours":["COLOUR_RED",2]}`, "colours[1]"],
  ["POST", "looks:whole", `{"colour":7}`, "colour"],
  ["GET", "looks:all?colour=1", undefined, "query parameter colour"],
  ["GET", "looks:all?colours=COLOUR_RED&colours=0", undefined, "query parameter colours"],
] as const)("an enum has names alone, no numbers: %s %s %s", async (method, path, body, at) => {
  const sent = await get(`/api/v1/${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
  expect([sent.status, (sent.body["error"] as JsonObject | undefined)?.["message"]]).toEqual([
    400,
    `${at} must be one of COLOUR_UNSPECIFIED, COLOUR_RED, COLOUR_BLUE`,
  ]);
});

const probe = (init: RequestInit) => get("/api/v1/probes/a", { method: "POST", ...init });

test("no body, a body in gzip, and bodies that are not taken", async () => {
  expect((await probe({ headers: { authorization: "Bearer good" } })).status).toBe(200);
  const gzip = { ...headers, "content-encoding": "gzip" };
  expect((await probe({ headers: gzip, body: Bun.gzipSync(`{"amount":2}`) })).body).toMatchObject({ amount: "2" });
  expect((await probe({ headers: { ...headers, "content-encoding": "zstd" }, body: "x" })).status).toBe(501);
  expect((await probe({ headers: { ...headers, "content-type": "text/plain" }, body: "x" })).status).toBe(415);
  expect((await probe({ headers, body: `{"amuont":2}` })).status).toBe(400);
  expect((await probe({ headers, body: `{` })).status).toBe(400);
});

test("404 and 405 say what is there", async () => {
  const nowhere = await get("/api/v1/nowhere");
  expect(nowhere).toEqual({
    status: 404,
    body: {
      error: {
        code: 404,
        status: "NOT_FOUND",
        message: "there is nothing at /api/v1/nowhere",
        details: [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "NOT_FOUND", domain: "muin" }],
      },
    },
  });
  const response = await fetch(`${server.addresses.http}/api/v1/probes/a`, { method: "DELETE" });
  expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
  expect(await response.json()).toMatchObject({
    error: { code: 405, status: "UNIMPLEMENTED", message: "DELETE is not served at /api/v1/probes/a, but POST" },
  });
});

test("an error says when to try again", async () => {
  const init = { method: "POST", headers, body: `{"act":"muin"}` };
  const response = await fetch(`${server.addresses.http}/api/v1/probes/a`, init);
  expect([response.status, response.headers.get("retry-after")]).toEqual([404, "2"]);
});

test("OpenAPI is valid and tells paths, bodies, errors and who may call", async () => {
  const { body } = await get("/openapi.json");
  expect(await validate(body)).toEqual({ valid: true });
  const schemas = Object.keys((body["components"] as { schemas: JsonObject }).schemas);
  expect(schemas).toEqual(expect.arrayContaining([NestedSchema.typeName, ColourSchema.typeName]));
  const paths = body["paths"] as Record<string, Record<string, JsonObject>>;
  expect(Object.keys(paths)).toContain("/api/v1/deep/shelves/{name_1}/books/{name_3}");
  const fast = paths["/api/v1/probes/{name}"]!["post"]!;
  expect(fast["security"]).toEqual([{ bearer: ["probe.use"] }]);
  expect(fast["x-callers"]).toEqual(["api_key", "service"]);
  expect(JSON.stringify(fast["requestBody"])).not.toContain('"name"');
  expect(JSON.stringify(fast["parameters"])).toContain("Idempotency-Key");
});

testRawBodies("REST", async (body, headers) => {
  const init = { method: "POST", headers: { ...headers, "content-type": "application/json" }, body };
  const { error } = (await get("/api/v1/probes/abc", init)).body as unknown as {
    error: { status: string; details: { reason: string }[] };
  };
  return { code: error.status.toLowerCase(), reason: error.details[0]?.reason };
});
