import type { HandlerContext } from "@connectrpc/connect";
import { expect, test } from "bun:test";
import {
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus as Status,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import { create } from "@bufbuild/protobuf";
import { createHeldClock } from "../../testing/held-clock.ts";
import { importMutant } from "../../testing/mutant.ts";
import * as real from "./health.ts";

/** What watchers are told of a process that is ready, stops being so and ends them; how many sleep meanwhile, in milliseconds. */
async function watched({ createHealth }: typeof real, watchers: number) {
  const clock = createHeldClock();
  let problem: string | undefined;
  const health = createHealth({ services: ["a.B"], readiness: () => problem, clock });
  const abort = new AbortController();
  const context = { signal: abort.signal } as HandlerContext;
  const told: Status[][] = [];
  const watch = async (service: string): Promise<void> => {
    const seen: Status[] = [];
    told.push(seen);
    for await (const { status } of health.watch(create(HealthCheckRequestSchema, { service }), context)) {
      seen.push(status ?? Status.UNKNOWN);
    }
  };
  const watches = Array.from({ length: watchers }, () => watch("a.B"));
  await clock.pass(0);
  const asleep = clock.asleep();
  problem = "stores are away";
  await clock.pass(250);
  abort.abort();
  await Promise.all(watches);
  await clock.pass(250);
  return { told, asleep, asleepAfter: clock.asleep() };
}

test("one look is for all who watch, and nobody looks when nobody watches", async () => {
  const { told, asleep, asleepAfter } = await watched(real, 50);
  expect(told).toEqual(Array.from({ length: 50 }, () => [Status.SERVING, Status.NOT_SERVING]));
  expect(asleep).toEqual([250]);
  expect(asleepAfter).toEqual([]);
});

test("mutants that look for each, or go on when all have left, are noticed", async () => {
  const path = `${import.meta.dir}/health.ts`;
  const each = await importMutant<typeof real>(path, "if (!isLooking) void look();", "void look();");
  expect((await watched(each, 50)).asleep).toHaveLength(50);
  const restless = await importMutant<typeof real>(path, "waiting.size > 0", "true");
  expect((await watched(restless, 2)).asleepAfter).toEqual([250]);
});
