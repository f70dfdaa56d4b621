// A gRPC client that knows nothing of Muin: under Node, with grpc-js, from what server reflection tells.
//
//   node grpc-client.mjs HOST:PORT API_KEY COUNT_ID
//
// Prints one JSON object.
import { create, createFileRegistry, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import grpc from "@grpc/grpc-js";

const [address, apiKey, countId] = process.argv.slice(2);
const client = new grpc.Client(address, grpc.credentials.createInsecure());
const pass = (bytes) => Buffer.from(bytes);
const deadline = () => ({ deadline: Date.now() + 10_000 });

function credentials(key) {
  const metadata = new grpc.Metadata();
  if (key !== null) metadata.set("authorization", `Bearer ${key}`);
  return metadata;
}

function unary(path, bytes, key) {
  const metadata = credentials(key);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, pass, pass, bytes, metadata, deadline(), (error, reply) =>
      error === null ? resolve(reply) : reject(error),
    );
  });
}

/** Fields of a message with the number `wanted`, as bytes. */
function bytesFields(message, wanted) {
  const found = [];
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === wanted) found.push(reader.bytes());
    else reader.skip(wireType);
  }
  return found;
}

/** One question to grpc.reflection.v1: the field of the request, its text, and the field of the answer. */
function reflect(field, text, answerField) {
  return new Promise((resolve, reject) => {
    const call = client.makeBidiStreamRequest(
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      pass,
      pass,
      credentials(apiKey),
      deadline(),
    );
    call.on("data", (reply) => resolve(bytesFields(reply, answerField)[0]));
    call.on("error", reject);
    call.write(new BinaryWriter().tag(field, WireType.LengthDelimited).string(text).finish());
    call.end();
  });
}

const services = bytesFields(await reflect(7, "", 6), 1).map((service) =>
  String(Buffer.from(bytesFields(service, 1)[0])),
);

const files = new Map();
const missing = [];
const load = (answer) => {
  for (const bytes of bytesFields(answer, 1)) {
    const file = fromBinary(FileDescriptorProtoSchema, bytes);
    files.set(file.name, file);
    missing.push(...file.dependency);
  }
};
for (const service of ["muin.count.v1.CountWriteService", "muin.count.v1.CountReadService"]) {
  load(await reflect(4, service, 4));
}
for (let name = missing.pop(); name !== undefined; name = missing.pop()) {
  if (!files.has(name)) load(await reflect(3, name, 4));
}
const ordered = [];
const place = (file) => {
  if (ordered.includes(file)) return;
  for (const name of file.dependency) place(files.get(name));
  ordered.push(file);
};
for (const file of files.values()) place(file);
const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: ordered }));

async function call(service, method, request, key = apiKey) {
  const { input, output } = registry.getService(service).methods.find(({ name }) => name === method);
  try {
    const reply = await unary(`/${service}/${method}`, toBinary(input, fromJson(input, request)), key);
    return toJson(output, fromBinary(output, reply));
  } catch (error) {
    if (error.code === undefined) throw error;
    return { code: grpc.status[error.code] };
  }
}

const write = "muin.count.v1.CountWriteService";
const read = "muin.count.v1.CountReadService";
console.log(
  JSON.stringify({
    services,
    health: [...(await unary("/grpc.health.v1.Health/Check", new Uint8Array(), null))],
    increment: await call(write, "Increment", { countId, delta: "2", requestId: "grpc-js-1" }),
    repeated: await call(write, "Increment", { countId, delta: "2", requestId: "grpc-js-1" }),
    get: await call(read, "GetCount", { countId, maxStaleness: "0s" }),
    unknown: await call(write, "Increment", { countId: "nobody" }),
    invalid: await call(write, "Increment", { countId: "NOT AN ID" }),
    anonymous: await call(write, "Increment", { countId }, null),
    wrongKey: await call(write, "Increment", { countId }, "muin_wrong"),
  }),
);
client.close();
