// A gRPC client of another make and another runtime: @grpc/grpc-js under Node. Reads a call per line of JSON from standard
// input and answers each with a line. Messages travel as base64, as they stand on the wire.
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { createInterface } from "node:readline";

const client = new Client(process.argv[2], credentials.createInsecure());
const pass = (bytes) => Buffer.from(bytes);

for await (const line of createInterface({ input: process.stdin })) {
  const { path, headers, body } = JSON.parse(line);
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const answer = { code: 0, header: null, trailer: null };
  await new Promise((resolve) => {
    const call = client.makeUnaryRequest(
      path,
      pass,
      pass,
      Buffer.from(body, "base64"),
      metadata,
      {},
      (error, reply) => {
        if (error === null) answer.body = reply.toString("base64");
        else {
          answer.code = error.code;
          answer.status = error.metadata.get("grpc-status-details-bin")[0]?.toString("base64");
        }
      },
    );
    call.on("metadata", (header) => (answer.header = header.get("x-probe")[0] ?? null));
    call.on("status", (status) => {
      answer.trailer = status.metadata.get("x-tail")[0] ?? null;
      resolve();
    });
  });
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
client.close();
