import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { CountManagementService } from "../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { CountWriteService } from "../../internal/gen/muin/count/v1/count_write_service_pb.ts";
import { AuthService } from "../../internal/gen/muin/identity/v1/auth_service_pb.ts";
import type { TestMuin } from "../../internal/platform/testing/muin.ts";
import { createRequestIds, incrementOf, incrementPath } from "../counts/requests.ts";
import { createLatencyRecorder, type Latency } from "../harness/latency.ts";

/** Count that the known callers write. */
const countId = "attack.known";
/** Pause between two calls of a caller, in milliseconds; a slow answer makes it longer, never shorter. */
const pauseMs = 40;
/** The same for signing in, which is dear. */
const signInPauseMs = 2000;
/** A call that is not answered by then is not answered. */
const answerMsMax = 30_000;

/** What became of the calls of known callers. */
export interface KnownCalls {
  readonly answered: number;
  /** Answers other than what was asked for, and calls without an answer, by what was said. */
  readonly refused: Readonly<Record<string, number>>;
  readonly latencyMs: Latency;
}

/** Callers that are known, calling at a steady rate. */
export interface KnownCallers {
  /** Calls while `work` goes on: what became of each kind of call. */
  during<T>(
    work: () => Promise<T>,
    options: { readonly signsIn: boolean },
  ): Promise<{ readonly calls: Readonly<Record<string, KnownCalls>>; readonly result: T }>;
  close(): void;
}

type Call = () => Promise<unknown>;

/** Makes the callers: an API key over Connect and gRPC, and a person who has an account. */
export async function createKnownCallers(muin: TestMuin): Promise<KnownCallers> {
  await muin.client(CountManagementService).createCount({ countId, countInfo: {} });
  const person = { email: "known@example.com", password: "a long enough secret" };
  await muin.signUp({ ...person, displayName: "Known" });
  const management = muin.client(CountManagementService, muin.apiKey);
  const write = muin.client(CountWriteService, muin.apiKey);
  const anybody = muin.client(AuthService, undefined);
  const requestId = createRequestIds();
  const grpc = openGrpc(muin, requestId);
  const timeoutMs = answerMsMax;
  const calls: Readonly<Record<string, Call>> = {
    increment: () => write.increment({ countId, requestId: requestId() }, { timeoutMs }),
    list: () => management.listCounts({ pageSize: 20 }, { timeoutMs }),
    "increment over gRPC": grpc.increment,
  };
  const signIn: Call = () => anybody.signIn(person, { timeoutMs });
  return {
    during: async (work, { signsIn }) => {
      let over = false;
      const all = signsIn ? { ...calls, "sign in": signIn } : calls;
      const callers = Object.entries(all).map(
        async ([name, call]) =>
          [name, await callUntil(() => over, call, name === "sign in" ? signInPauseMs : pauseMs)] as const,
      );
      try {
        const result = await work();
        over = true;
        return { calls: Object.fromEntries(await Promise.all(callers)), result };
      } finally {
        over = true;
        await Promise.all(callers);
      }
    },
    close: grpc.close,
  };
}

async function callUntil(isOver: () => boolean, call: Call, pauseMs: number): Promise<KnownCalls> {
  const latency = createLatencyRecorder();
  const refused: Record<string, number> = {};
  let answered = 0;
  while (!isOver()) {
    const sentMs = performance.now();
    try {
      await call();
      answered += 1;
      latency.record(performance.now() - sentMs);
    } catch (error) {
      const reason = error instanceof Error ? error.message.slice(0, 120) : String(error);
      refused[reason] = (refused[reason] ?? 0) + 1;
    }
    await Bun.sleep(pauseMs);
  }
  return { answered, refused, latencyMs: latency.summary() };
}

/** One long connection, as a device has it. */
function openGrpc(muin: TestMuin, requestId: () => string): { readonly increment: Call; readonly close: () => void } {
  const client = new Client(muin.grpc, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${muin.apiKey}`);
  return {
    increment: () =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest<Buffer, Buffer>(
          incrementPath,
          (request) => request,
          (reply) => reply,
          Buffer.from(incrementOf(countId, requestId()), "latin1"),
          metadata,
          { deadline: Date.now() + answerMsMax },
          (error) => (error === null ? resolve(undefined) : reject(error)),
        );
      }),
    close: () => client.close(),
  };
}
