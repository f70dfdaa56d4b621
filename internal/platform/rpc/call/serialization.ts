import { create, type Message } from "@bufbuild/protobuf";
import { createMethodSerializationLookup } from "@connectrpc/connect/protocol";
import type { Call } from "./call.ts";
import { readBytesMaxOf, type RpcLimits } from "./limits.ts";
import type { MethodPlan } from "./plan.ts";

/** How the messages of a method come from bytes and become bytes. */
export interface Serialization {
  /** Parses the request of a call. What it throws is what the library's handlers throw. */
  parse(call: Call, body: Uint8Array): Message;
  /** Writes a reply, which may be a part of one. */
  serialize(reply: Message): Uint8Array;
}

/** The options of the library's JSON. */
type JsonOptions = Parameters<typeof createMethodSerializationLookup>[2];

/**
 * The serialization of a hot method in both encodings: in binary by the method's own codec, where it has one that takes the message,
 * else by the generated code. Its lane reads no larger body than the method takes; a reply that is too large is refused here.
 */
export function createSerialization(
  plan: MethodPlan,
  limits: RpcLimits,
  jsonOptions?: JsonOptions,
): Readonly<Record<"binary" | "json", Serialization>> {
  const readMaxBytes = readBytesMaxOf(plan.policy, limits);
  const writeMaxBytes = limits.writeBytesMax;
  const lookup = createMethodSerializationLookup(plan.method, undefined, jsonOptions, { readMaxBytes, writeMaxBytes });
  const generated = (isBinary: boolean): Serialization => {
    const input = lookup.getI(isBinary);
    const output = lookup.getO(isBinary);
    return { parse: (_, body) => input.parse(body), serialize: (reply) => output.serialize(completed(plan, reply)) };
  };
  const binary = generated(true);
  const { codec } = plan;
  if (codec === undefined) return { binary, json: generated(false) };
  return {
    binary: {
      parse: (call, body) => {
        const request = codec.read(body);
        if (request === undefined) return binary.parse(call, body);
        call.validRequest = request;
        return request;
      },
      serialize: (reply) => {
        const body = codec.write(reply);
        return body === undefined || body.byteLength > writeMaxBytes ? binary.serialize(reply) : body;
      },
    },
    json: generated(false),
  };
}

/** A handler may return a part of its reply. */
export function completed({ method: { output } }: MethodPlan, reply: Message): Message {
  return reply.$typeName === output.typeName ? reply : create(output, reply);
}
