import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { runAutocannon } from "../harness/autocannon.ts";
import { openHttpConnections } from "../harness/http-connections.ts";
import { type Served, serveChild } from "../harness/child.ts";
import { closedLoop, type LoadResult, openLoop, type RunLoad, type Send } from "../harness/load.ts";
import { createRequests, incrementPath, isCreation, itemsOf, type Lane } from "./requests.ts";

/** Connections that the callers of gRPC share. */
const grpcConnections = 8;
/** No call of a load takes longer. */
const callMsMax = 10_000;

/** What this process is told on its command line. */
export interface RpcLoadOptions {
  readonly lane: Lane;
  /** Origin, for gRPC host:port. */
  readonly url: string;
  readonly apiKey: string;
  readonly callers: number;
  readonly counts: number;
  /** Calls per second in open loop; absent: saturation. */
  readonly ratePerS?: number;
}

/** Load on a server of RPCs: creations, open loop and gRPC by senders of our own, else saturation over HTTP/1.1 by autocannon. */
async function openRpcLoad(options: RpcLoadOptions): Promise<Served<RunLoad, LoadResult>> {
  const { lane, url, callers, counts, ratePerS } = options;
  const next = createRequests(lane, counts);
  const headers = { authorization: `Bearer ${options.apiKey}` };
  const writesPerCall = itemsOf(lane);
  if (lane !== "grpc" && ratePerS === undefined && !isCreation(lane)) {
    return {
      greeting: "",
      answer: ({ windowMs }) => runAutocannon(url, callers, windowMs, headers, writesPerCall, next),
      close: async () => {},
    };
  }
  const load = (windowMs: number, send: Send): Promise<LoadResult> =>
    ratePerS === undefined ? closedLoop(callers, windowMs, send) : openLoop(ratePerS, callers, windowMs, send);
  if (lane === "grpc") {
    const { send, close } = openGrpc(url, headers, next);
    return { greeting: "", answer: ({ windowMs }) => load(windowMs, send), close: async () => close() };
  }
  return {
    greeting: "",
    answer: async ({ windowMs }) => {
      // Anew for each window: a server may close what was idle in between.
      const connections = await openHttpConnections(url, callers, headers);
      try {
        return await load(windowMs, async (caller) => {
          await connections.send(caller, next());
          return writesPerCall;
        });
      } finally {
        connections.close();
      }
    },
    close: async () => {},
  };
}

function openGrpc(
  address: string,
  headers: Readonly<Record<string, string>>,
  next: ReturnType<typeof createRequests>,
): { readonly send: Send; readonly close: () => void } {
  const clients = Array.from(
    { length: grpcConnections },
    () => new Client(address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 }),
  );
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return {
    send: (caller) =>
      new Promise((resolve, reject) => {
        (clients[caller % grpcConnections] as Client).makeUnaryRequest<Buffer, Buffer>(
          incrementPath,
          (request) => request,
          (reply) => reply,
          Buffer.from(next().body, "latin1"),
          metadata,
          { deadline: Date.now() + callMsMax },
          (error) => (error === null ? resolve(1) : reject(error)),
        );
      }),
    close: () => {
      for (const client of clients) client.close();
    },
  };
}

await serveChild(openRpcLoad);
