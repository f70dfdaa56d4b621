import { describe, expect, test } from "bun:test";
import { create, getOption, hasOption, type DescMethod, type MessageInitShape } from "@bufbuild/protobuf";
import { catalog } from "../catalog.ts";
import { OperationsService } from "../gen/muin/platform/v1/operations_service_pb.ts";
import { CallerKind, policy as policyOption, PolicySchema, type Policy } from "../gen/muin/platform/v1/options_pb.ts";
import { PersonalDataService } from "../gen/muin/platform/v1/personal_data_service_pb.ts";
import { serviceCallersOf } from "../platform/catalog/service-callers.ts";
import { readBytesMaxOf, defaultRpcLimits } from "../platform/rpc/call/limits.ts";
import { policyTable, type PolicyRow } from "./policy-table.ts";

const kinds: Readonly<Record<CallerKind, string>> = {
  [CallerKind.UNSPECIFIED]: "unspecified",
  [CallerKind.PERSON]: "person",
  [CallerKind.API_KEY]: "api_key",
  [CallerKind.DEVICE]: "device",
  [CallerKind.SERVICE]: "service",
};

const services = [...catalog.flatMap(({ serves }) => serves), OperationsService, PersonalDataService];
const callersOf = serviceCallersOf(catalog);

/** The row that a policy comes to. */
function rowOf(policy: Policy, callingServices: Iterable<string> = []): PolicyRow {
  const bytes = readBytesMaxOf(policy, defaultRpcLimits);
  const cells = {
    callers: policy.public ? "anybody" : policy.callers.map((kind) => kinds[kind]).join(" "),
    scopes: policy.scopes.join(" "),
    wider: policy.widerScopes.join(" "),
    services: [...callingServices].join(" "),
    signed: policy.signed,
    bytes: bytes === (policy.public ? 16_384 : 1_048_576) ? 0 : bytes,
  };
  return Object.fromEntries(Object.entries(cells).filter(([, cell]) => Boolean(cell))) as unknown as PolicyRow;
}

function nameOf(method: DescMethod): string {
  return `${method.parent.name}.${method.name}`;
}

describe("who may call which RPC", () => {
  test("is what the table says, and no RPC is without a row", () => {
    const methods = services.flatMap((service) => service.methods);
    const declared = methods.map((method) => [
      nameOf(method),
      hasOption(method, policyOption) ? rowOf(getOption(method, policyOption), callersOf(method)) : "has no policy",
    ]);
    expect(Object.fromEntries(declared) as unknown).toEqual(policyTable);
  });

  test.each<[string, MessageInitShape<typeof PolicySchema>]>([
    ["is open to anybody", { public: true }],
    ["is open to devices", { callers: [CallerKind.PERSON, CallerKind.API_KEY, CallerKind.DEVICE] }],
    ["asks for no scope", { scopes: [] }],
    ["asks for another scope", { scopes: ["counts.read"] }],
    ["lets a scope do more", { widerScopes: ["counts.manage"] }],
    ["must be signed", { signed: true }],
    ["takes more", { requestBytesMax: 64 << 20 }],
  ])("mutant: it is seen when a method %s", (_, change) => {
    const row = policyTable["CountWriteService.Increment"];
    const policy = { callers: [CallerKind.PERSON, CallerKind.API_KEY], scopes: ["counts.write"] };
    expect(rowOf(create(PolicySchema, policy))).toEqual(row!);
    expect(rowOf(create(PolicySchema, { ...policy, ...change }))).not.toEqual(row!);
  });
});
