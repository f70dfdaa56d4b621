import { createRegistry, type DescService, type JsonObject } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { CountManagementService } from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../../../gen/muin/count/v1/count_read_service_pb.ts";
import { CountWriteService } from "../../../gen/muin/count/v1/count_write_service_pb.ts";
import { DeviceService } from "../../../gen/muin/identity/v1/device_service_pb.ts";
import { OperationsService } from "../../../gen/muin/platform/v1/operations_service_pb.ts";
import { defineErrors } from "../../errors/define-errors.ts";
import { serve } from "../../service/parts.ts";
import { planMethods } from "../call/plan.ts";
import { loadComments, packagesOf } from "./comments.ts";
import { describeRoutes } from "./openapi.ts";
import { planRoutes } from "./route.ts";
import { validate } from "../testdata/validate-openapi.ts";

test("OpenAPI says of RPCs, messages, fields, parameters and enums what the protos say", async () => {
  const nobody = new Proxy({}, { get: () => () => undefined });
  const plans = planMethods([serve(OperationsService, nobody as never)]);
  const comments = await loadComments([OperationsService]);
  const routes = planRoutes(plans, createRegistry(OperationsService.file));
  const api = describeRoutes(routes, { comments });
  expect(await validate(api)).toEqual({ valid: true });
  const operations = Object.values(api["paths"] as Record<string, Record<string, JsonObject>>).flatMap(
    Object.values<JsonObject>,
  );
  expect(operations.length).toBeGreaterThan(3);
  for (const { summary, description, parameters } of operations) {
    expect(description).toStartWith(summary as string);
    for (const each of parameters as JsonObject[]) expect(each).toHaveProperty("description");
  }
  const schemas = (api["components"] as { schemas: Record<string, JsonObject> }).schemas;
  for (const schema of Object.values(schemas)) {
    expect(schema).toHaveProperty("description");
    const properties = Object.values((schema["properties"] ?? {}) as Record<string, JsonObject>);
    for (const property of properties) expect(property).toHaveProperty("description");
  }
  expect(api["tags"]).toEqual([{ name: OperationsService.typeName, description: expect.any(String) }]);
});

/** The document of a service, without comments. */
async function documentOf(service: DescService) {
  const nobody = new Proxy({}, { get: () => () => undefined });
  const api = describeRoutes(planRoutes(planMethods([serve(service, nobody as never)]), createRegistry(service.file)), {
    comments: {},
  });
  expect(await validate(api)).toEqual({ valid: true });
  return api as unknown as {
    info: JsonObject;
    paths: Record<string, Record<string, { parameters: JsonObject[]; requestBody?: JsonObject }>>;
    components: { schemas: Record<string, JsonObject> };
  };
}

const longText =
  "^-?0*([1-9][0-9]{1,14}|[0-9]|[1-8][0-9]{15}|900[0-6][0-9]{12}|90070[0-9]{11}|90071[0-8][0-9]{10}|900719[0-8][0-9]{9}|" +
  "9007199[0-1][0-9]{8}|90071992[0-4][0-9]{7}|900719925[0-3][0-9]{6}|9007199254[0-6][0-9]{5}|90071992547[0-3][0-9]{4}|" +
  "9007199254740[0-8][0-9]{2}|90071992547409[0-8][0-9]|900719925474099[0-1])$";

test("one path is one item, whatever the protos call its variables", async () => {
  const { paths, info } = await documentOf(CountManagementService);
  expect(Object.entries(paths).map(([path, item]) => [path, Object.keys(item)])).toEqual([
    ["/api/v1/count-infos", ["post", "get"]],
    ["/api/v1/count-infos:batchCreate", ["post"]],
    ["/api/v1/count-infos/{count_id}", ["get", "patch", "delete"]],
    ["/api/v1/count-infos/{count_id}:undelete", ["post"]],
    ["/api/v1/count-infos:verify", ["get"]],
  ]);
  for (const { parameters } of Object.values(paths["/api/v1/count-infos/{count_id}"]!)) {
    expect(parameters[0]).toMatchObject({ name: "count_id", in: "path", required: true });
  }
  // The path names the Count already: without a body nothing of it changes.
  expect(paths["/api/v1/count-infos/{count_id}"]!["patch"]!.requestBody).toMatchObject({ required: false });
  // The API's: which build serves it is not for strangers.
  expect(info["version"]).toBe("v1");
});

function told({ parameters }: { parameters: JsonObject[] }) {
  return parameters.map(({ name, in: where, required, schema }) => [where, name, required, schema]);
}

test("parameters carry the rules of their fields", async () => {
  const { paths } = await documentOf(CountManagementService);
  const requestId = { type: "string", maxLength: 64, pattern: "^([!-~]{8,64})?$" };
  expect(told(paths["/api/v1/count-infos"]!["post"]!)).toEqual([
    ["query", "count_id", true, { type: "string", minLength: 1, maxLength: 128, pattern: "^[a-z0-9][a-z0-9._-]*$" }],
    [
      "query",
      "initial_value",
      false,
      { type: "integer", format: "int64", minimum: -9007199254740991, maximum: 9007199254740991 },
    ],
    ["query", "request_id", false, requestId],
    ["header", "Idempotency-Key", false, requestId],
  ]);
  expect(told(paths["/api/v1/count-infos"]!["get"]!)).toEqual([
    ["query", "page_size", false, { type: "integer", format: "int32", minimum: 0, maximum: 1000 }],
    ["query", "page_token", false, { type: "string", maxLength: 512 }],
    ["query", "prefix", false, { type: "string", maxLength: 128, pattern: "^[a-z0-9._-]*$" }],
    [
      "query",
      "labels",
      false,
      { type: "array", maxItems: 16, items: { type: "string", maxLength: 320, pattern: "^[a-z0-9._-]+=.*$" } },
    ],
    ["query", "state", false, { $ref: "#/components/schemas/muin.count.v1.CountState" }],
  ]);
});

test("a body carries the rules of its fields, takes each form that protobuf JSON has for a value, and nothing else", async () => {
  const { components } = await documentOf(CountManagementService);
  expect(components.schemas["muin.count.v1.CountInfo.Input"]).toEqual({
    type: "object",
    properties: {
      countId: { type: ["string", "null"], maxLength: 128 },
      displayName: { type: ["string", "null"], maxLength: 256 },
      labels: {
        type: ["object", "null"],
        maxProperties: 64,
        propertyNames: { minLength: 1, maxLength: 63, pattern: "^[a-z0-9._-]*$" },
        additionalProperties: { type: "string", maxLength: 256 },
      },
      minValue: {
        anyOf: [
          { type: "integer", format: "int64", minimum: -9007199254740991, maximum: 9007199254740991 },
          { type: "string", pattern: longText },
          { type: "null" },
        ],
      },
      maxValue: expect.any(Object),
      state: { anyOf: [{ $ref: "#/components/schemas/muin.count.v1.CountState" }, { type: "null" }] },
      etag: { type: ["string", "null"], maxLength: 64 },
      createTime: { type: ["string", "null"], format: "date-time" },
      updateTime: { type: ["string", "null"], format: "date-time" },
    },
    additionalProperties: false,
  });
});

test("a reply has one form: what cannot be absent is always there, and long numbers are texts", async () => {
  const { components } = await documentOf(CountManagementService);
  expect(components.schemas["muin.count.v1.CountValue"]).toEqual({
    type: "object",
    required: ["countId", "value", "revision"],
    properties: {
      countId: { type: "string" },
      value: { type: "string", format: "int64", pattern: "^-?[0-9]+$" },
      revision: { type: "string", format: "int64", pattern: "^-?[0-9]+$" },
      updateTime: { type: "string", format: "date-time" },
    },
  });
});

test("what a request must have, and what it must choose, is required", async () => {
  const { paths, components } = await documentOf(CountWriteService);
  expect(paths["/api/v1/counts:batchWrite"]!["post"]!.requestBody).toEqual({
    required: true,
    content: {
      "application/json": {
        schema: {
          type: "object",
          required: ["writes"],
          properties: {
            writes: {
              type: "array",
              minItems: 1,
              maxItems: 1000,
              items: { $ref: "#/components/schemas/muin.count.v1.Write.Input" },
            },
          },
          additionalProperties: false,
        },
      },
    },
  });
  expect(components.schemas["muin.count.v1.Write.Input"]).toMatchObject({
    required: ["countId"],
    oneOf: [
      { required: ["increment"], properties: { increment: { not: { type: "null" } } } },
      { required: ["decrement"], properties: { decrement: { not: { type: "null" } } } },
      { required: ["set"], properties: { set: { not: { type: "null" } } } },
    ],
    properties: {
      increment: { anyOf: [{ minimum: 1, maximum: 9007199254740991 }, { type: "string" }, { type: "null" }] },
    },
  });
  expect(paths["/api/v1/counts/{count_id}/increment"]!["post"]!.requestBody).toMatchObject({ required: false });
});

test("durations, bytes and enums keep their rules", async () => {
  const read = await documentOf(CountReadService);
  const staleness = read.paths["/api/v1/counts/{count_id}"]!["get"]!.parameters[1]!;
  expect(staleness["name"]).toBe("max_staleness");
  const pattern = new RegExp((staleness["schema"] as { pattern: string }).pattern, "u");
  const texts = ["0s", "1.5s", "3599.999999999s", "3600s", "3600.0s", "3600.1s", "3601s", "-1s", "1", "1.0000000001s"];
  expect(texts.map((text) => [text, pattern.test(text)])).toEqual([
    ["0s", true],
    ["1.5s", true],
    ["3599.999999999s", true],
    ["3600s", true],
    ["3600.0s", true],
    ["3600.1s", false],
    ["3601s", false],
    ["-1s", false],
    ["1", false],
    ["1.0000000001s", false],
  ]);
  const devices = await documentOf(DeviceService);
  expect(devices.paths["/api/v1/devices:activate"]!["post"]!.requestBody).toMatchObject({
    content: {
      "application/json": {
        schema: {
          properties: { publicKey: { type: "string", contentEncoding: "base64", minLength: 43, maxLength: 44 } },
        },
      },
    },
  });
});

test("OpenAPI says which calls are signed", async () => {
  const nobody = new Proxy({}, { get: () => () => undefined });
  const plans = planMethods([serve(DeviceService, nobody as never)]);
  const routes = planRoutes(plans, createRegistry(DeviceService.file));
  const api = describeRoutes(routes, { comments: {} });
  expect(await validate(api)).toEqual({ valid: true });
  const signed = Object.entries(api["paths"] as Record<string, Record<string, JsonObject>>).flatMap(([path, verbs]) =>
    Object.values(verbs)
      .filter(({ parameters }) => (parameters as JsonObject[]).some(({ name }) => name === "muin-signature"))
      .map(() => path),
  );
  expect(signed).toEqual(["/api/v1/devices:activate", "/api/v1/devices:issueToken"]);
});

test("OpenAPI names the reasons of each service's errors, a closed set", async () => {
  const nobody = new Proxy({}, { get: () => () => undefined });
  const { table } = defineErrors({
    doorLocked: { reason: "DOOR_LOCKED", code: "failed_precondition", text: "the door is locked" },
    doorStuck: { reason: "DOOR_LOCKED", code: "failed_precondition", text: "the door is stuck" },
  });
  const plans = planMethods([
    { ...serve(DeviceService, nobody as never), owner: "door", errors: table },
    serve(OperationsService, nobody as never),
  ]);
  const routes = planRoutes(plans, createRegistry(DeviceService.file, OperationsService.file));
  const api = describeRoutes(routes, { comments: {} });
  expect(await validate(api)).toEqual({ valid: true });
  const { paths, components } = api as {
    paths: Record<string, Record<string, { responses: Record<string, JsonObject> }>>;
    components: { schemas: Record<string, JsonObject>; responses: Record<string, JsonObject> };
  };
  const errorsAt = (path: string) => {
    const { "200": _, ...errors } = Object.values(paths[path]!)[0]!.responses;
    return errors;
  };
  const door = { $ref: "#/components/responses/door.Error" };
  const any = { $ref: "#/components/responses/Error" };
  expect(errorsAt("/api/v1/devices:activate")).toEqual({ "4XX": door, "5XX": door });
  expect(errorsAt("/api/v1/operations/status")).toEqual({ "4XX": any, "5XX": any });
  expect(components.schemas["door.Reason"]).toEqual({
    type: "string",
    description: "Why a call failed.\n- DOOR_LOCKED (FAILED_PRECONDITION): the door is locked; or the door is stuck",
    enum: ["DOOR_LOCKED"],
  });
  expect(components.schemas["PlatformReason"]!["enum"]).toEqual(
    expect.arrayContaining(["SCOPE_MISSING", "FIELD_INVALID", "OVERLOADED", "SERVICE_STARTING", "STORE_UNAVAILABLE"]),
  );
  expect(components.responses["door.Error"]).toMatchObject({
    content: { "application/json": { schema: { $ref: "#/components/schemas/door.Error" } } },
  });
  expect(JSON.stringify(components.schemas["door.Error"])).toContain(
    '"reason":{"anyOf":[{"$ref":"#/components/schemas/PlatformReason"},{"$ref":"#/components/schemas/door.Reason"}]}',
  );
});

test("comments are those of the packages that are served, and of those they import", async () => {
  const comments = Object.keys(await loadComments([OperationsService]));
  expect(new Set(comments.map((name) => name.split(".").slice(0, 3).join(".")))).toEqual(new Set(["muin.platform.v1"]));
  expect([...packagesOf([DeviceService])].filter((name) => name.startsWith("muin."))).toEqual([
    "muin.identity.v1",
    "muin.platform.v1",
  ]);
});
