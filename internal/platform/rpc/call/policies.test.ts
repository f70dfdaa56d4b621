import { getOption, hasOption, isFieldSet, type DescService } from "@bufbuild/protobuf";
import { MethodOptionsSchema } from "@bufbuild/protobuf/wkt";
import { Glob } from "bun";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { policy } from "../../../gen/muin/platform/v1/options_pb.ts";
import { ProbeService } from "../testdata/probe_pb.ts";

/** What is wrong with a service's methods: who may call is said for each, and how safe it is to repeat. */
function faultsOf(service: DescService): string[] {
  return service.methods.flatMap((method) => {
    const name = `${service.typeName}.${method.name}`;
    const faults: string[] = [];
    if (!hasOption(method, policy)) faults.push(`${name} has no policy`);
    else {
      const { public: isPublic, scopes, callers } = getOption(method, policy);
      const isLimited = callers.length > 0;
      if (isPublic === isLimited) faults.push(`${name} must be public or name its callers, and not both`);
      if (isPublic && scopes.length > 0) faults.push(`${name} is public and yet wants scopes`);
    }
    const { options } = method.proto;
    if (options === undefined || !isFieldSet(options, MethodOptionsSchema.field.idempotencyLevel)) {
      faults.push(`${name} does not say idempotency_level`);
    }
    return faults;
  });
}

test("every RPC says who may call it and whether it may be repeated", async () => {
  const root = join(import.meta.dir, "../../../gen/muin");
  let services = 0;
  for await (const file of new Glob("**/*_service_pb.ts").scan(root)) {
    const module = (await import(join(root, file))) as Record<string, { kind?: string }>;
    for (const exported of Object.values(module)) {
      if (exported.kind !== "service") continue;
      services += 1;
      expect(faultsOf(exported as unknown as DescService)).toEqual([]);
    }
  }
  expect(services).toBeGreaterThan(7);
});

test("a method without policy is found", () => {
  expect(faultsOf(ProbeService)).toContain("muin.probe.v1.ProbeService.Lawless has no policy");
});
