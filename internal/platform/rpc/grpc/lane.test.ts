import { Client, credentials, Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { codeNames, good, path, reasonIn, testRawBodies, valid } from "../testdata/raw-bodies.ts";
import { startProbeServer, type ProbeServer } from "../testdata/start-probe-server.ts";

let server: ProbeServer;
let grpc: Client;
beforeAll(async () => {
  server = await startProbeServer();
  grpc = new Client(server.addresses.grpc, credentials.createInsecure());
});
afterAll(async () => {
  grpc.close();
  await server.stop();
});

const pass = (bytes: unknown): Buffer => Buffer.from(bytes as Uint8Array);

function grpcCall(method: string, body: Uint8Array, headers: Record<string, string>): Promise<ServiceError | null> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return new Promise((resolve) => {
    const deadline = Date.now() + 10_000;
    grpc.makeUnaryRequest(`${path}/${method}`, pass, pass, body, metadata, { deadline }, resolve);
  });
}

testRawBodies("gRPC", async (body, headers) => {
  const error = await grpcCall("Slow", body, headers);
  const details = Buffer.concat(
    (error?.metadata.get("grpc-status-details-bin") ?? []).map((each) => Buffer.from(each)),
  );
  return { code: codeNames[error?.code ?? 0]!, reason: reasonIn(details.toString("latin1")) };
});

test("an unknown method is unimplemented", async () => {
  expect((await grpcCall("Nope", valid, good))?.code).toBe(status.UNIMPLEMENTED);
});

test("headers beyond their limit are refused, and the port goes on", async () => {
  const before = server.ended.length;
  expect((await grpcCall("Slow", valid, { ...good, "x-bomb": "x".repeat(64 * 1024) }))?.code).toBeDefined();
  expect(server.ended.length).toBe(before);
  expect(await grpcCall("Slow", valid, good)).toBeNull();
});
