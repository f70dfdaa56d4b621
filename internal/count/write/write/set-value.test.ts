import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { CountWriteService, SetRequestSchema } from "../../../gen/muin/count/v1/count_write_service_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { serve } from "../../../platform/service/parts.ts";
import { startHttpServer } from "../../../platform/testing/http-server.ts";
import { createHandlers } from "./handlers.ts";
import type { CountWriter } from "./writer.ts";

const caller = { kind: "api_key", id: "k1", principal: "api_key:k1", scopes: new Set(["counts.write"]) } as const;

/** A writer that sets whatever it is told. */
const writer = {
  shardOf: () => 0,
  batchMax: 100,
  write: async (_shard: number, writes: readonly { readonly operand: number }[]) =>
    writes.map(({ operand }) => ({ outcome: "applied", value: operand, revision: 1, timeMs: 0 })),
} as unknown as CountWriter;

const served = serve(CountWriteService, createHandlers({ writer, clock: systemClock }));

test.each([
  ["hot", [CountWriteService.method.set]],
  ["not hot", []],
])("a Count is set to what is given, 0 too, and to nothing else: %s", async (_name, hot) => {
  await using server = await startHttpServer([{ ...served, hot }], { caller });
  const send = (path: string, type: string, body: string | Uint8Array<ArrayBuffer>) =>
    fetch(server.url + path, { method: "POST", headers: { authorization: "Bearer good", "content-type": type }, body });
  const rest = (body: string) => send("/api/v1/counts/a/set", "application/json", body);
  const connect = (value: bigint | undefined) => {
    const request = create(SetRequestSchema, value === undefined ? { countId: "a" } : { countId: "a", value });
    return send("/muin.count.v1.CountWriteService/Set", "application/proto", toBinary(SetRequestSchema, request));
  };
  for (const body of ["", "{}", '{"value":null}', '{"requestId":"12345678"}']) {
    const refusal = await rest(body);
    expect([refusal.status, await refusal.text()]).toEqual([
      400,
      expect.stringContaining('"message":"value: value is required"'),
    ]);
  }
  expect((await connect(undefined)).status).toBe(400);
  expect((await connect(0n)).status).toBe(200);
  for (const body of ['{"value":0}', '{"value":"0"}', '{"value":-7}']) expect((await rest(body)).status).toBe(200);
  expect((await rest('{"value":1.5}')).status).toBe(400);
});
