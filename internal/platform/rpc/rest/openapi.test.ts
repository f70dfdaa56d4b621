import { createRegistry, type JsonObject } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
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
  const api = describeRoutes(routes, { version: "1.2.3", comments });
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

test("OpenAPI says which calls are signed", async () => {
  const nobody = new Proxy({}, { get: () => () => undefined });
  const plans = planMethods([serve(DeviceService, nobody as never)]);
  const routes = planRoutes(plans, createRegistry(DeviceService.file));
  const api = describeRoutes(routes, { version: "1.2.3", comments: {} });
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
  const api = describeRoutes(routes, { version: "1.2.3", comments: {} });
  expect(await validate(api)).toEqual({ valid: true });
  const { paths, components } = api as {
    paths: Record<string, Record<string, { responses: { default: JsonObject } }>>;
    components: { schemas: Record<string, JsonObject>; responses: Record<string, JsonObject> };
  };
  const errorAt = (path: string) => Object.values(paths[path]!)[0]!.responses.default;
  expect(errorAt("/api/v1/devices:activate")).toEqual({ $ref: "#/components/responses/door.Error" });
  expect(errorAt("/api/v1/operations/status")).toEqual({ $ref: "#/components/responses/Error" });
  expect(components.schemas["door.Reason"]).toEqual({
    type: "string",
    description: "Why a call failed.\n- DOOR_LOCKED (FAILED_PRECONDITION): the door is locked; or the door is stuck",
    enum: ["DOOR_LOCKED"],
  });
  expect(components.schemas["PlatformReason"]!["enum"]).toEqual(
    expect.arrayContaining(["SCOPE_MISSING", "FIELD_INVALID", "OVERLOADED", "SERVICE_STARTING", "STORE_UNAVAILABLE"]),
  );
  expect(JSON.stringify(components.responses["door.Error"])).toContain(
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
