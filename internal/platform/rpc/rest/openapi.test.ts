import { createRegistry, type JsonObject } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { DeviceService } from "../../../gen/muin/identity/v1/device_service_pb.ts";
import { OperationsService } from "../../../gen/muin/platform/v1/operations_service_pb.ts";
import { serve } from "../../service/parts.ts";
import { planMethods } from "../call/plan.ts";
import { describeRoutes } from "./openapi.ts";
import { planRoutes } from "./route.ts";
import { validate } from "../testdata/validate-openapi.ts";

test("OpenAPI says of RPCs, messages, fields, parameters and enums what the protos say", async () => {
  const nobody = new Proxy({}, { get: () => () => undefined });
  const plans = planMethods([serve(OperationsService, nobody as never)]);
  const api = describeRoutes(planRoutes(plans, createRegistry(OperationsService.file)), "1.2.3");
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
  const { Error: _, ...ours } = schemas;
  for (const schema of Object.values(ours)) {
    expect(schema).toHaveProperty("description");
    const properties = Object.values((schema["properties"] ?? {}) as Record<string, JsonObject>);
    for (const property of properties) expect(property).toHaveProperty("description");
  }
  expect(api["tags"]).toEqual([{ name: OperationsService.typeName, description: expect.any(String) }]);
});

test("OpenAPI says which calls are signed", async () => {
  const nobody = new Proxy({}, { get: () => () => undefined });
  const plans = planMethods([serve(DeviceService, nobody as never)]);
  const api = describeRoutes(planRoutes(plans, createRegistry(DeviceService.file)), "1.2.3");
  expect(await validate(api)).toEqual({ valid: true });
  const signed = Object.entries(api["paths"] as Record<string, Record<string, JsonObject>>).flatMap(([path, verbs]) =>
    Object.values(verbs)
      .filter(({ parameters }) => (parameters as JsonObject[]).some(({ name }) => name === "muin-signature"))
      .map(() => path),
  );
  expect(signed).toEqual(["/api/v1/devices:activate", "/api/v1/devices:issueToken"]);
});
