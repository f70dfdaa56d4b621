import { expect, test } from "bun:test";
import { join } from "node:path";
import { OperationsService } from "../../gen/muin/platform/v1/operations_service_pb.ts";
import { defineService, type ServiceInfo } from "../service/define-service.ts";
import { serve } from "../service/parts.ts";
import { rpcs } from "../service/rpcs.ts";
import { importMutant } from "../testing/mutant.ts";
import * as real from "./assemble-service.ts";
import type { Wiring } from "./wiring.ts";

const served = serve(OperationsService, {} as never); // Nobody calls it.

/** A service that calls others, or none, directly or to collect what they hold of people. */
function service(calls: ServiceInfo["calls"], personalData: "none" | "collected" = "none"): ServiceInfo {
  const empty = { stores: {}, publishes: [], consumes: [], config: {}, errors: {} } as const;
  return defineService({
    name: "front",
    summary: "A service of the test.",
    serves: [OperationsService],
    calls,
    ...empty,
    personalData,
    create: () => [served],
  });
}

const wiring = {
  log: { child: () => wiring.log },
  config: () => ({}),
  transport: () => ({}),
  personalData: () => ({ names: [], exportFrom: () => Promise.resolve(undefined) }),
} as unknown as Wiring; // Nothing else is asked for.

const callsOthers = ({ assembleService }: typeof real, info: ServiceInfo): boolean | undefined =>
  assembleService(info, wiring).running(() => true)[0]?.callsOthers;

test("the calls of a service that calls others know which call they serve", async () => {
  const cases = [
    service({ operations: rpcs(OperationsService, ["getStatus"]) }),
    service({}, "collected"),
    service({}),
  ];
  expect(cases.map((info) => callsOthers(real, info))).toEqual([true, true, false]);
  const mutant = await importMutant<typeof real>(
    join(import.meta.dir, "assemble-service.ts"),
    "Object.keys(info.calls).length > 0 || ",
    "",
  );
  expect(callsOthers(mutant, cases[0]!)).toBe(false);
});
