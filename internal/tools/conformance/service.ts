import {
  create,
  setExtension,
  type DescFile,
  type DescMessage,
  type DescService,
  type Message,
} from "@bufbuild/protobuf";
import { anyPack, MethodOptionsSchema, type Any } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { policy, PolicySchema } from "../../gen/muin/platform/v1/options_pb.ts";
import type { Served } from "../../platform/service/parts.ts";
import { systemClock } from "../../platform/clock/clock.ts";

/** Modules that are generated from the suite's own protos when it runs. */
export interface ConformanceModules {
  readonly service: {
    readonly ConformanceService: DescService;
    readonly ConformancePayload_RequestInfoSchema: DescMessage;
    readonly file_connectrpc_conformance_v1_service: DescFile;
  };
  readonly serverCompat: {
    readonly ServerCompatRequestSchema: DescMessage;
    readonly ServerCompatResponseSchema: DescMessage;
  };
}

interface Header {
  readonly name: string;
  readonly value: readonly string[];
}
interface WireError {
  readonly code: Code;
  readonly message?: string;
  readonly details: readonly Any[];
}
interface UnaryDefinition {
  readonly responseHeaders: readonly Header[];
  readonly responseTrailers: readonly Header[];
  readonly responseDelayMs: number;
  readonly response:
    | { readonly case: "responseData"; readonly value: Uint8Array }
    | { readonly case: "error"; readonly value: WireError }
    | { readonly case: undefined };
}
interface StreamDefinition {
  readonly responseHeaders: readonly Header[];
  readonly responseTrailers: readonly Header[];
  readonly responseDelayMs: number;
  readonly responseData: readonly Uint8Array[];
  readonly error?: WireError;
}
type UnaryRequest = Message & { readonly responseDefinition?: UnaryDefinition };
type StreamRequest = Message & { readonly responseDefinition?: StreamDefinition; readonly fullDuplex?: boolean };
interface Payload {
  data?: Uint8Array;
  requestInfo?: Record<string, unknown>;
}

/** The suite's service as its protos describe it, open to everybody, with its plain unary method on the fast path. */
export function createConformanceService(modules: ConformanceModules): Served {
  const { ConformanceService: service } = modules.service;
  for (const method of service.methods) {
    method.proto.options ??= create(MethodOptionsSchema);
    setExtension(method.proto.options, policy, create(PolicySchema, { public: true }));
  }
  const answers = createAnswers(modules);
  const unary = (request: UnaryRequest, context: HandlerContext) =>
    answers.one(request.responseDefinition, [request], context);
  const impl = {
    unary,
    idempotentUnary: unary,
    clientStream: async (requests: AsyncIterable<UnaryRequest>, context: HandlerContext) => {
      const all = await Array.fromAsync(requests);
      return answers.one(all[0]?.responseDefinition, all, context);
    },
    serverStream: (request: StreamRequest, context: HandlerContext) => serverStream(answers, request, context),
    bidiStream: (requests: AsyncIterable<StreamRequest>, context: HandlerContext) =>
      bidiStream(answers, requests, context),
    unimplemented: () => {
      throw new ConnectError("this method is not implemented", Code.Unimplemented);
    },
  };
  return {
    part: "served",
    service,
    impl: impl as unknown as Served["impl"],
    hot: service.methods.filter(({ localName }) => localName === "unary"),
  };
}

/** What the suite wants to hear back of requests. */
interface Answers {
  readonly pack: (request: Message) => Any;
  readonly infoOf: (requests: readonly Message[], context: HandlerContext) => Record<string, unknown>;
  readonly errorOf: (
    error: WireError,
    requests: readonly Message[] | undefined,
    context: HandlerContext,
  ) => ConnectError;
  readonly one: (
    definition: UnaryDefinition | undefined,
    requests: readonly Message[],
    context: HandlerContext,
  ) => Promise<{ payload: Payload }>;
}

function createAnswers({ service }: ConformanceModules): Answers {
  const { ConformanceService, ConformancePayload_RequestInfoSchema: infoSchema } = service;
  const inputs = new Map(ConformanceService.methods.map(({ input }) => [input.typeName, input]));
  const pack = (request: Message): Any => anyPack(inputs.get(request.$typeName)!, request);
  const infoOf = (requests: readonly Message[], context: HandlerContext): Record<string, unknown> => {
    const timeoutMs = namedTimeout(context) ? context.timeoutMs() : undefined;
    return {
      requests: requests.map(pack),
      requestHeaders: [...context.requestHeader].map(([name, value]) => ({ name, value: value.split(", ") })),
      ...(timeoutMs === undefined ? {} : { timeoutMs: BigInt(timeoutMs) }),
      ...(context.requestMethod === "GET"
        ? {
            connectGetInfo: {
              queryParams: [...new URL(context.url).searchParams].map(([name, value]) => ({ name, value: [value] })),
            },
          }
        : {}),
    };
  };
  const errorOf = (
    error: WireError,
    requests: readonly Message[] | undefined,
    context: HandlerContext,
  ): ConnectError => {
    const made = new ConnectError(error.message ?? "", error.code);
    for (const { typeUrl, value } of error.details) {
      made.details.push({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value });
    }
    if (requests !== undefined) made.details.push({ desc: infoSchema, value: infoOf(requests, context) });
    return made;
  };
  const one = async (
    definition: UnaryDefinition | undefined,
    requests: readonly Message[],
    context: HandlerContext,
  ): Promise<{ payload: Payload }> => {
    if (definition === undefined) return { payload: { requestInfo: infoOf(requests, context) } };
    setMetadata(definition, context);
    await systemClock.sleep(definition.responseDelayMs, context.signal);
    if (definition.response.case === "error") throw errorOf(definition.response.value, requests, context);
    const data = definition.response.case === "responseData" ? { data: definition.response.value } : {};
    return { payload: { ...data, requestInfo: infoOf(requests, context) } };
  };
  return { pack, infoOf, errorOf, one };
}

async function* serverStream({ infoOf, errorOf }: Answers, request: StreamRequest, context: HandlerContext) {
  const definition = request.responseDefinition;
  if (definition === undefined) return;
  setMetadata(definition, context);
  let sent = 0;
  for (const data of definition.responseData) {
    await systemClock.sleep(definition.responseDelayMs, context.signal);
    yield { payload: { data, ...(sent === 0 ? { requestInfo: infoOf([request], context) } : {}) } };
    sent += 1;
  }
  if (definition.error !== undefined) {
    throw errorOf(definition.error, sent === 0 ? [request] : undefined, context);
  }
}

async function* bidiStream(
  { pack, infoOf, errorOf }: Answers,
  requests: AsyncIterable<StreamRequest>,
  context: HandlerContext,
) {
  let definition: StreamDefinition | undefined;
  let first = true;
  let fullDuplex = false;
  let sent = 0;
  let pending: Message[] = [];
  for await (const request of requests) {
    if (first) {
      first = false;
      definition = request.responseDefinition;
      fullDuplex = request.fullDuplex === true;
      if (definition !== undefined) setMetadata(definition, context);
    }
    pending.push(request);
    if (!fullDuplex) continue;
    const data = definition?.responseData[sent];
    if (data === undefined) break;
    await systemClock.sleep(definition!.responseDelayMs, context.signal);
    const requestInfo = sent === 0 ? infoOf(pending, context) : { requests: pending.map(pack) };
    yield { payload: { data, requestInfo } };
    sent += 1;
    pending = [];
  }
  if (definition === undefined) return;
  for (const data of definition.responseData.slice(sent)) {
    await systemClock.sleep(definition.responseDelayMs, context.signal);
    yield { payload: { data, ...(sent === 0 ? { requestInfo: infoOf(pending, context) } : {}) } };
    sent += 1;
  }
  if (definition.error !== undefined) {
    throw errorOf(definition.error, sent === 0 ? pending : undefined, context);
  }
}

/** Whether the caller named a deadline: the server's own is none that the suite expects to hear of. */
function namedTimeout(context: HandlerContext): boolean {
  return context.requestHeader.has("connect-timeout-ms") || context.requestHeader.has("grpc-timeout");
}

function setMetadata(definition: UnaryDefinition | StreamDefinition, context: HandlerContext): void {
  for (const { name, value } of definition.responseHeaders) {
    for (const each of value) context.responseHeader.append(name, each);
  }
  for (const { name, value } of definition.responseTrailers) {
    for (const each of value) context.responseTrailer.append(name, each);
  }
}
