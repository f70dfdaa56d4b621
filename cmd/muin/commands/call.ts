import type { DescMethod, Message } from "@bufbuild/protobuf";
import { type CallOptions, ConnectError } from "@connectrpc/connect";
import { InvalidArgumentError } from "commander";
import { loadMethods, type Methods, shortNameOf } from "../remote/methods.ts";
import { plainMessage } from "../remote/plain-message.ts";
import { type Remote, remoteCommand } from "../remote/remote-command.ts";
import { detailedFailure, Failure } from "../terminal/failure.ts";
import { messageFromJson, readJsonArgument } from "../terminal/json-input.ts";
import type { Output } from "../terminal/output.ts";
import { durationMs } from "../terminal/values.ts";

/** `muin call`. */
export const call = remoteCommand({
  name: "call",
  description: "call any method of Muin with a request in JSON, and print the reply",
  arguments: {
    method: {
      help: "service and method, such as CountReadService/GetCount; the full name will do too",
      optional: true,
    },
  },
  options: {
    data: { value: "json", help: 'the request; "@file" reads a file, "-" standard input', default: "{}" },
    header: {
      value: "name:value",
      help: "header of the call; may be given several times",
      parse: headerOf,
      many: true,
    },
    requestId: { value: "id", help: "the request's request_id: with one, the call is repeated while Muin is away" },
    timeout: {
      value: "time",
      help: "how long it may take (default: 15s; a stream: until interrupted)",
      parse: durationMs,
    },
    list: { help: "list all methods instead" },
  },
  details: `The reply is one JSON document; with --json on one line, and so is each message of a stream. Fields have the
names of the protos in proto/muin, or the same in camelCase.`,
  examples: [
    `muin call CountWriteService/Increment --data '{"count_id": "visits", "delta": 5}' --request-id order-8213-visit`,
    "muin call muin.count.v1.CountReadService/GetCount --data @request.json",
    `muin call OperationsService/TailEvents --data '{"topic": "count.value"}'`,
    "muin call --list",
  ],
  run: async ({ method: name, data, header = [], requestId, timeout, list, json }, muin) => {
    const methods = await loadMethods();
    if (list === true) {
      printMethods(methods, json === true, muin.output);
      return;
    }
    if (name === undefined) throw new Failure("usage", `name a method; "muin call --list" shows all`);
    const method = methods.find(name);
    const request = requestOf(method, await readJsonArgument(data, muin.stdin), requestId);
    const options = {
      headers: header.map(([key, value]): [string, string] => [key, value]),
      ...(timeout === undefined ? {} : { timeoutMs: timeout }),
    };
    try {
      for await (const reply of repliesOf(method, request, options, requestId !== undefined, muin)) {
        const shown = plainMessage(method.output, reply);
        if (json === true || method.methodKind !== "unary") muin.output.json(shown);
        else muin.output.print(JSON.stringify(shown, undefined, 2));
      }
    } catch (error) {
      throw error instanceof ConnectError ? detailedFailure(error) : error;
    }
  },
});

function printMethods({ all }: Methods, json: boolean, output: Output): void {
  const rows = all.map((method) => ({
    method: shortNameOf(method),
    kind: method.methodKind === "unary" ? "" : method.methodKind.replace("_", " "),
    request: method.input.typeName,
    reply: method.output.typeName,
  }));
  if (json) for (const row of rows) output.json(row);
  else
    output.table(
      ["METHOD", "REQUEST", ""],
      rows.map(({ method, request, kind }) => [method, request, kind]),
    );
}

function headerOf(text: string): readonly [name: string, value: string] {
  // What HTTP carries in a value: visible Latin-1, spaces and tabs (RFC 9110, section 5.5).
  const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):\s*([\t\x20-\x7e\x80-\xff]*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new InvalidArgumentError("Write it name:value. A value has Latin-1 characters only.");
  }
  return [name, value];
}

function requestOf(method: DescMethod, json: string, requestId: string | undefined): Message {
  let request: Message & Record<string, unknown>;
  try {
    request = messageFromJson(method.input, json) as Message & Record<string, unknown>;
  } catch (error) {
    throw new Failure("usage", (error as Error).message, { cause: error });
  }
  if (requestId === undefined) return request;
  const field = method.input.fields.find(({ name }) => name === "request_id");
  if (field === undefined) throw new Failure("usage", `${shortNameOf(method)} takes no request id`);
  request[field.localName] = requestId;
  return request;
}

/** Makes the call; its replies, one or a stream of them. A stream ends when the command is interrupted. */
async function* repliesOf(
  method: DescMethod,
  request: Message,
  options: CallOptions,
  isRepeatable: boolean,
  { client, repeat, signal }: Remote,
): AsyncGenerator<Message> {
  const send = (client(method.parent) as Record<string, unknown>)[method.localName];
  switch (method.methodKind) {
    case "unary": {
      const unary = send as (request: Message, options: CallOptions) => Promise<Message>;
      yield await (isRepeatable ? repeat(() => unary(request, options)) : unary(request, options));
      return;
    }
    case "server_streaming": {
      const stream = send as (request: Message, options: CallOptions) => AsyncIterable<Message>;
      try {
        yield* stream(request, { timeoutMs: 0, ...options });
      } catch (error) {
        if (!signal.aborted) throw error;
      }
      return;
    }
    case "client_streaming":
    case "bidi_streaming":
      throw new Failure("usage", `${shortNameOf(method)} takes a stream of requests, which this command cannot send`);
  }
}
