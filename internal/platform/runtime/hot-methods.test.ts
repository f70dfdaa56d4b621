import type { DescMethod } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { CallContext } from "../rpc/call/call-context.ts";
import { planMethods } from "../rpc/call/plan.ts";
import { foreignName, lanes } from "../rpc/testdata/probe-lanes.ts";
import { ProbeService, type ProbeRequest } from "../rpc/testdata/probe_pb.ts";
import { createProbeService, probeCallers } from "../rpc/testdata/probe-service.ts";
import { startProbeServer } from "../rpc/testdata/start-probe-server.ts";
import { defineService, type ServiceInfo } from "../service/define-service.ts";
import { serve } from "../service/parts.ts";
import { importMutant } from "../testing/mutant.ts";
import * as real from "./assemble-service.ts";
import type { Wiring } from "./wiring.ts";

/** Replies whose context a handler was given: that of a lane of our own, or the library's. */
function tell({ name }: ProbeRequest, context: HandlerContext): { name: string; principal: string } {
  return { name, principal: context instanceof CallContext ? "own" : "library" };
}

/** A service that declares which of its methods are hot, and nothing else of lanes. */
function declare(hot: readonly DescMethod[]): ServiceInfo {
  const events = { released: 0, address: "", timeoutMs: undefined };
  const impl = { ...createProbeService(events).impl, fast: tell, slow: tell };
  return defineService({
    name: "probe",
    summary: "A service of the test.",
    serves: [ProbeService],
    hot,
    calls: {},
    stores: {},
    publishes: [],
    consumes: [],
    config: {},
    errors: {},
    personalData: "none",
    create: () => [serve(ProbeService, impl as Parameters<typeof serve<typeof ProbeService>>[1])],
  });
}

const wiring = { log: { child: () => wiring.log }, config: () => ({}) } as unknown as Wiring; // Nothing else is asked for.

/** By lane, what a call's reply said. The name of a lane says which of both methods it calls. */
async function contexts(
  { assembleService }: typeof real,
  hot: readonly DescMethod[],
): Promise<Record<string, unknown>> {
  const running = assembleService(declare(hot), wiring).running(() => true);
  await using server = await startProbeServer({ plans: planMethods(running, { serviceCallers: probeCallers }) });
  const found: Record<string, unknown> = {};
  for (const [name, open] of Object.entries(lanes)) {
    if (name === foreignName) continue;
    using lane = open(server);
    const { code, reply } = await lane.call({ credentials: "good" });
    found[name] = code === "ok" ? (reply as { principal: string }).principal : code;
  }
  return found;
}

const declared = {
  "Connect binary, fast": "own",
  "Connect JSON, fast": "own",
  "Connect binary over HTTP/2, fast": "own",
  "Connect binary, generic": "library",
  "Connect JSON, generic": "library",
  "Connect gzip to a hot method": "library",
  "gRPC-Web": "library",
  "gRPC, fast": "own",
  "gRPC, generic": "library",
  "gRPC gzip to a hot method": "library",
  REST: "own",
  "in process": "own",
};
const undeclared = {
  ...declared,
  "Connect binary, fast": "library",
  "Connect JSON, fast": "library",
  "Connect binary over HTTP/2, fast": "library",
  "gRPC, fast": "library",
};

test("a method is served on the fast paths by its service's declaration alone, and what is unusual is left to the library", async () => {
  expect(await contexts(real, [ProbeService.method.fast])).toEqual(declared);
  expect(await contexts(real, [])).toEqual(undeclared);
});

test("mutant: a runtime that forgets what is hot is noticed", async () => {
  const mutant = await importMutant<typeof real>(
    join(import.meta.dir, "assemble-service.ts"),
    "hot: info.hot,",
    "hot: [],",
  );
  expect(await contexts(mutant, [ProbeService.method.fast])).toEqual(undeclared);
});
