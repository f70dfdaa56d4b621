import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "bun:test";
import { ProbeRequestSchema } from "./probe_pb.ts";

/** Path of the probe service's methods. */
export const path = "/muin.probe.v1.ProbeService";
/** Credentials of somebody who may call. */
export const good = { authorization: "Bearer good" };
/** A request that can be read. */
export const valid = toBinary(ProbeRequestSchema, create(ProbeRequestSchema, { name: "abc", amount: 7n }));
/** A request that cannot. */
export const truncated = valid.subarray(0, 3);
/** More than is taken. */
export const huge = new Uint8Array(5 * 1024 * 1024).fill(0x20);

/** What a lane answers to raw bytes: the code's name and the error's reason. */
export type RawLane = (
  body: Uint8Array<ArrayBuffer>,
  headers: Record<string, string>,
) => Promise<{ code: string; reason: string | undefined }>;

/** Tests what every lane answers to bodies that it does not take. */
export function testRawBodies(name: string, lane: RawLane): void {
  describe(name, () => {
    test.each([
      ["a truncated message", truncated, good, "invalid_argument", "REQUEST_MALFORMED"],
      ["5 MiB", huge, good, "resource_exhausted", "MESSAGE_TOO_LARGE"],
      ["5 MiB without credentials", huge, {}, "unauthenticated", "CREDENTIALS_MISSING"],
    ] as const)("%s", async (_name, body, headers, code, reason) => {
      expect(await lane(body, headers)).toEqual({ code, reason });
    });
  });
}

/** Names of gRPC's status codes, by number. */
export const codeNames = [
  "ok",
  "canceled",
  "unknown",
  "invalid_argument",
  "deadline_exceeded",
  "not_found",
  "already_exists",
  "permission_denied",
  "resource_exhausted",
  "failed_precondition",
  "aborted",
  "out_of_range",
  "unimplemented",
  "internal",
  "unavailable",
  "data_loss",
  "unauthenticated",
];
/** ErrorInfo's reason is the first text field of a detail that names its type. */
export function reasonIn(details: string): string | undefined {
  return /google\.rpc\.ErrorInfo[^A-Z]+([A-Z_]+)/.exec(details)?.[1];
}
