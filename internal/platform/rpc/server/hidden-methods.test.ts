import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { importMutant } from "../../testing/mutant.ts";
import { ProbeService } from "../testdata/probe_pb.ts";
import * as real from "../testdata/start-probe-server.ts";

async function* asks() {
  for (const value of ["muin.probe.v1.ProbeService", "muin.probe.v1.ProbeService.Fast"]) {
    yield { messageRequest: { case: "fileContainingSymbol", value } as const };
  }
}

/** How a server that hides Fast answers it in each lane, and what reflection says of the service. */
async function told({ startProbeServer }: typeof real) {
  await using server = await startProbeServer({ hides: ({ name }) => name === "Fast" });
  const { http, grpc } = server.addresses;
  const overGrpc = createGrpcTransport({ baseUrl: `http://${grpc}` });
  const transports = [
    createConnectTransport({ baseUrl: http, httpVersion: "1.1" }),
    createGrpcWebTransport({ baseUrl: http, httpVersion: "1.1" }),
    overGrpc,
  ];
  const headers = { authorization: "Bearer good" };
  const codes = transports.map(async (transport) => {
    const { fast, slow } = createClient(ProbeService, transport);
    expect((await slow({ name: "a" }, { headers })).name).toBe("a");
    return fast({ name: "a" }, { headers }).then(
      () => undefined,
      (error: unknown) => ConnectError.from(error).code,
    );
  });
  const reflection = createClient(ServerReflection, overGrpc);
  const [file, symbol] = await Array.fromAsync(reflection.serverReflectionInfo(asks(), { headers }));
  const files = file?.messageResponse.case === "fileDescriptorResponse" ? file.messageResponse.value : undefined;
  const described = files && fromBinary(FileDescriptorProtoSchema, files.fileDescriptorProto[0]!);
  return {
    codes: await Promise.all(codes),
    isDescribed: described?.service[0]?.method.some(({ name }) => name === "Fast"),
    isSymbol: symbol?.messageResponse.case === "fileDescriptorResponse",
  };
}

const hidden = {
  codes: [Code.Unimplemented, Code.Unimplemented, Code.Unimplemented],
  isDescribed: false,
  isSymbol: false,
};

test("a hidden method is neither served nor described, and the others are", async () => {
  expect(await told(real)).toEqual(hidden);
});

test.each([
  ["server.ts", "!hides(method)", "true", { ...hidden, codes: [undefined, undefined, undefined] }],
  ["reflection.ts", "!hides(methods[nth]!)", "true", { ...hidden, isDescribed: true }],
  ["reflection.ts", "!hides(each)", "true", { ...hidden, isSymbol: true }],
])("mutants: %s without %s tells of it", async (file, from, to, seen) => {
  const entry = join(import.meta.dir, "../testdata/start-probe-server.ts");
  const mutant = await importMutant<typeof real>(join(import.meta.dir, file), from, to, [entry]);
  expect(await told(mutant)).toEqual(seen);
});
