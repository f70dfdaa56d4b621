import {
  create,
  fromJson,
  ScalarType,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  type JsonValue,
} from "@bufbuild/protobuf";
import { ConnectError, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { catalog } from "../catalog.ts";
import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { PolicySchema } from "../gen/muin/platform/v1/options_pb.ts";
import { OperationsService } from "../gen/muin/platform/v1/operations_service_pb.ts";
import { PersonalDataService } from "../gen/muin/platform/v1/personal_data_service_pb.ts";
import * as plan from "../platform/rpc/call/plan.ts";
import type { MethodPlans } from "../platform/rpc/call/plan.ts";
import type { Served } from "../platform/service/parts.ts";
import { importMutant } from "../platform/testing/mutant.ts";
import { startProbeServer, type ProbeServer } from "../platform/rpc/testdata/start-probe-server.ts";

setDefaultTimeout(60_000);

const services = [...new Set([...catalog.flatMap(({ serves }) => serves), OperationsService, PersonalDataService])];

/** A request with NUL in one place, as JSON, and the path of that place. */
interface Place {
  readonly path: string;
  readonly json: JsonValue;
}

/** Every place for text in a message; in one that contains itself, once. */
function placesIn(schema: DescMessage, within: readonly DescMessage[] = []): readonly Place[] {
  if (within.includes(schema)) return [];
  return schema.fields.flatMap((field) =>
    placesOf(field, [...within, schema]).map(({ path, json }) => ({
      path: `${field.name}${path}`,
      json: { [field.jsonName]: json },
    })),
  );
}

function placesOf(field: DescField, within: readonly DescMessage[]): readonly Place[] {
  const inMessage = (schema: DescMessage): readonly Place[] => {
    switch (schema.typeName) {
      case "google.protobuf.StringValue":
        return [{ path: "", json: "\0" }];
      case "google.protobuf.FieldMask":
        return [{ path: ".paths[0]", json: "\0" }];
      default:
        // The JSON of other well-known types has no text of the caller's.
        if (schema.typeName.startsWith("google.protobuf.")) return [];
        return placesIn(schema, within).map(({ path, json }) => ({ path: `.${path}`, json }));
    }
  };
  const element = (scalar: ScalarType | undefined, message: DescMessage | undefined): readonly Place[] => {
    if (message !== undefined) return inMessage(message);
    return scalar === ScalarType.STRING ? [{ path: "", json: "\0" }] : [];
  };
  switch (field.fieldKind) {
    case "scalar":
    case "message":
      return element(field.scalar, field.message);
    case "list":
      return element(field.scalar, field.message).map(({ path, json }) => ({ path: `[0]${path}`, json: [json] }));
    case "map": {
      const values = element(field.scalar, field.message);
      const keys: readonly Place[] =
        field.mapKey === ScalarType.STRING && field.mapKind === "scalar" && field.scalar === ScalarType.STRING
          ? [{ path: '["\\u0000"] (key)', json: { "\0": "v" } }]
          : [];
      return [...keys, ...values.map(({ path, json }) => ({ path: `["1"]${path}`, json: { "1": json } }))];
    }
    case "enum":
      return [];
  }
}

const methods = services.flatMap((service) => service.methods);
const places = new Map(methods.map((method) => [method, placesIn(method.input)]));
const reached: string[] = [];

let server: ProbeServer;
let transports: Readonly<Record<string, Transport>>;
/** Every method as its proto declares it, but open to everybody and with a handler that only tells that it was reached. */
function plansOf(planMethods: typeof plan.planMethods, onReached: (name: string) => void): MethodPlans {
  return planMethods(
    services.map((service) => ({
      part: "served" as const,
      service,
      impl: Object.fromEntries(
        service.methods.map(({ localName }) => [localName, () => onReached(localName)]),
      ) as unknown as Served["impl"],
      hot: service.methods.filter(({ methodKind }) => methodKind === "unary"),
    })),
    { policy: create(PolicySchema, { public: true }) },
  );
}

beforeAll(async () => {
  server = await startProbeServer({
    plans: plansOf(plan.planMethods, (name) => reached.push(name)),
    connectionLimits: { strangerRequestsMax: 10_000 }, // Nobody shows credentials here.
  });
  const { http, grpc } = server.addresses;
  transports = {
    "Connect JSON": createConnectTransport({ baseUrl: http, httpVersion: "2", useBinaryFormat: false }),
    gRPC: createGrpcTransport({ baseUrl: `http://${grpc}` }),
    "in process": server.inProcess({ kind: "anonymous", principal: "anonymous" }),
  };
});
afterAll(() => server.stop());

/** How a request is refused. */
async function outcomeOf(transport: Transport, method: DescMethod, json: JsonValue): Promise<string> {
  const request = fromJson(method.input, json);
  try {
    if (method.methodKind === "unary") {
      await transport.unary(method as DescMethodUnary, undefined, 10_000, undefined, request);
    } else {
      const input = (async function* () {
        yield request;
      })();
      const { message } = await transport.stream(method as DescMethodStreaming, undefined, 10_000, undefined, input);
      for await (const _ of message) break;
    }
    return "ok";
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    const fields = error.findDetails(BadRequestSchema).flatMap((each) => each.fieldViolations.map((v) => v.field));
    return [codeToString(error.code), error.findDetails(ErrorInfoSchema)[0]?.reason, ...fields].join(" ");
  }
}

test("the places for text are found", () => {
  expect(methods.length).toBeGreaterThan(80);
  expect([...places.values()].flat().length).toBeGreaterThan(200);
  const named = new Map([...places].map(([method, found]) => [method.name, found.map(({ path }) => path)]));
  expect(named.get("Increment")).toEqual(["count_id", "request_id"]);
  expect(named.get("BatchWrite")).toContain("writes[0].request_id");
  expect(named.get("UpdatePreferences")).toContain('preferences.values["\\u0000"] (key)');
  expect(named.get("UpdateUser")).toContain("update_mask.paths[0]");
});

describe.each(["Connect JSON", "gRPC", "in process"])("%s: NUL never reaches a handler, nor a rule", (lane) => {
  test.each(methods.filter((method) => places.get(method)!.length > 0).map((method) => [method.toString(), method]))(
    "%s",
    async (_, method) => {
      const found = places.get(method)!;
      const answers = await Promise.all(
        found.map(async ({ path, json }) => [path, await outcomeOf(transports[lane]!, method, json)]),
      );
      expect(answers).toEqual(found.map(({ path }) => [path, `invalid_argument FIELD_INVALID ${path}`]));
      expect(reached).toEqual([]);
    },
  );
});

test("mutant: with the rules of the protos alone, NUL reaches handlers", async () => {
  const call = join(import.meta.dir, "../platform/rpc/call");
  const mutant = await importMutant<typeof plan>(join(call, "validate.ts"), "checkText(message);", "", [
    join(call, "plan.ts"),
  ]);
  const passed: string[] = [];
  await using lax = await startProbeServer({ plans: plansOf(mutant.planMethods, (name) => passed.push(name)) });
  const transport = lax.inProcess({ kind: "anonymous", principal: "anonymous" });
  for (const [method, found] of places) for (const { json } of found) await outcomeOf(transport, method, json);
  expect(passed).toContain("listCounts");
});
