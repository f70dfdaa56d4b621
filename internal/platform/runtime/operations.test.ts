import { create } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import {
  ListDeadLettersRequestSchema,
  ListParkedEventsRequestSchema,
} from "../../gen/muin/platform/v1/operations_service_pb.ts";
import { MuinError } from "../errors/muin-error.ts";
import type { ComposedService } from "./compose-service.ts";
import { createOperations } from "./operations.ts";
import type { StatusSources } from "./process-status.ts";

/** The operations of a process with the service "auth" alone, whose broker has rights to the keys of that one only. */
function operationsOfAuth() {
  const auth = { info: { name: "auth", publishes: [], consumes: [] }, parts: [], outboxes: [] };
  const deadLetters = {
    list: async (query: { service: string | undefined }) => {
      if (query.service !== undefined && query.service !== "auth") throw new Error("NOPERM");
      return { deadLetters: [], nextPageToken: "" };
    },
  };
  const services = [auth as unknown as ComposedService];
  return createOperations({ services, broker: { deadLetters } } as unknown as StatusSources).impl;
}

async function reasonOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return "answered";
  } catch (error) {
    return error instanceof MuinError ? error.reason : String(error);
  }
}

test("lists of one service's events refuse a name that no service has, as redriving them does", async () => {
  const { listDeadLetters, listParkedEvents } = operationsOfAuth();
  const reasons = await Promise.all(
    ["", "auth", "nobody", "0".repeat(64), "*"].map((service) =>
      Promise.all([
        reasonOf(() => listDeadLetters(create(ListDeadLettersRequestSchema, { service }), {} as never)),
        reasonOf(() => listParkedEvents(create(ListParkedEventsRequestSchema, { service }), {} as never)),
      ]),
    ),
  );
  expect(reasons).toEqual([
    ["answered", "answered"],
    ["answered", "answered"],
    ["SERVICE_NOT_FOUND", "SERVICE_NOT_FOUND"],
    ["SERVICE_NOT_FOUND", "SERVICE_NOT_FOUND"],
    ["SERVICE_NOT_FOUND", "SERVICE_NOT_FOUND"],
  ]);
});
