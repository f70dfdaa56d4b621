import { Client, credentials, Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { importMutant } from "../../testing/mutant.ts";
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

function grpcCall(
  method: string,
  body: Uint8Array,
  headers: Record<string, string>,
  client: Client = grpc,
): Promise<ServiceError | null> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return new Promise((resolve) => {
    const deadline = Date.now() + 10_000;
    client.makeUnaryRequest(`${path}/${method}`, pass, pass, body, metadata, { deadline }, resolve);
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
  const error = await grpcCall("Nope", valid, good);
  expect(error?.code).toBe(status.UNIMPLEMENTED);
  expect(error?.details).toBe(`there is no method ${path}/Nope`);
});

const wanted = "send credentials in the header Authorization: Bearer <API key or access token>";

test("a message reaches a client as it was written", async () => {
  expect((await grpcCall("Slow", valid, {}))?.details).toBe(wanted);
});

test("the test notices when a message is escaped as the library does it", async () => {
  const entry = join(import.meta.dir, "../testdata/start-probe-server.ts");
  const mutant = await importMutant<typeof import("../testdata/start-probe-server.ts")>(
    join(import.meta.dir, "../universal/write-reply.ts"),
    "decodeURIComponent(message).replace(/[^ -$&-~]+/g, encodeURIComponent)",
    "message",
    [entry],
  );
  const broken = await mutant.startProbeServer();
  const client = new Client(broken.addresses.grpc, credentials.createInsecure());
  try {
    const error = await grpcCall("Slow", valid, {}, client);
    expect(error?.code).toBe(status.UNAUTHENTICATED);
    expect(error?.details).not.toBe(wanted);
  } finally {
    client.close();
    await broken.stop();
  }
});

test("headers beyond their limit are refused, and the port goes on", async () => {
  const before = server.ended.length;
  expect((await grpcCall("Slow", valid, { ...good, "x-bomb": "x".repeat(64 * 1024) }))?.code).toBeDefined();
  expect(server.ended.length).toBe(before);
  expect(await grpcCall("Slow", valid, good)).toBeNull();
});
