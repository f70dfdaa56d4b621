import { anyPack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { serve, type Served } from "../../service/parts.ts";
import { systemClock } from "../../clock/clock.ts";
import { defineErrors } from "../../errors/define-errors.ts";
import { addressOf } from "../../identity/address.ts";
import type { Authenticator } from "../../identity/authenticator.ts";
import { callerOf, type Caller } from "../../identity/caller.ts";
import { identityErrors } from "../../identity/errors.ts";
import type { CallObserver } from "../../telemetry/call-observer.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { PartSchema, ProbeService, type ProbeRequest, type ProbeResponse } from "./probe_pb.ts";

/** What a handler was seen to do, for tests that look from outside. */
export interface ProbeEvents {
  /** Streams whose `finally` has run. */
  released: number;
  /** Address of the last caller. */
  address: string;
  /** The last call's remaining time, in milliseconds. */
  timeoutMs: number | undefined;
}

const probeErrors = defineErrors({
  probeNotFound: {
    reason: "PROBE_NOT_FOUND",
    code: "not_found",
    text: "there is no such probe",
    retryAfterMs: 1500,
  },
});

type Reply = Omit<Partial<ProbeResponse>, "$typeName" | "$unknown">;

/** Implements the probe service; `Fast` is hot. */
export function createProbeService(events: ProbeEvents): Served {
  const act = (request: ProbeRequest, context: HandlerContext): Promise<Reply> | Reply => {
    events.address = addressOf(context);
    events.timeoutMs = context.timeoutMs();
    const reply: Reply = {
      name: request.name,
      amount: request.amount ?? 1n,
      requestId: request.requestId,
      principal: callerOf(context).principal,
    };
    switch (request.act) {
      case "":
        return reply;
      case "any":
        return {
          ...reply,
          any: anyPack(PartSchema, {
            $typeName: "muin.probe.v1.Part",
            choice: { case: "text", value: "packed" },
          }),
        };
      case "header":
        context.responseHeader.set("x-probe", "1");
        context.responseTrailer.set("x-tail", "2");
        return reply;
      case "throw":
        throw new Error("secret text");
      case "reject":
        return Promise.reject(new TypeError("secret text"));
      case "muin":
        throw probeErrors.probeNotFound({ metadata: { name: request.name } });
      case "downstream":
        throw new ConnectError("downstream says no", Code.Aborted);
      case "long":
        return { ...reply, requestId: "x".repeat(16 << 20) }; // More than sockets hold of what nobody reads.
      case "hang":
        return new Promise(() => undefined); // Ignores its signal, as bad handlers do.
      default:
        throw new Error(`unknown act ${request.act}`);
    }
  };
  const service = serve(ProbeService, {
    fast: act,
    slow: act,
    lawless: act,
    look: (request) => ({ request, ...(request.nested === undefined ? {} : { nested: request.nested }) }),
    stream: async function* stream(request, context) {
      try {
        for (let index = 0; index < request.repeat; index += 1) yield { name: request.name, amount: BigInt(index) };
        yield await act(request, context);
      } finally {
        events.released += 1;
      }
    },
    collect: async (requests, context) => {
      let count = 0;
      let last: ProbeRequest | undefined;
      for await (const request of requests) {
        count += 1;
        last = request;
      }
      if (last === undefined) return { amount: 0n };
      return { ...(await act(last, context)), amount: BigInt(count) };
    },
    chat: async function* chat(requests, context) {
      for await (const request of requests) yield await act(request, context);
    },
  });
  return { ...service, hot: [ProbeService.method.fast] };
}

/** Services whose declarations name every method of the probe service. */
export const probeCallers = (): ReadonlySet<string> => new Set(["count-write", "count-read", "front"]);

/** Longer than a small request is on its way, in milliseconds. */
const laterMs = 30;

/** Callers by their credentials. `Bearer later-…` is known only after a while, as a key that is not cached. */
export const probeAuthenticator: Pick<Authenticator, "authenticate"> = {
  authenticate: (authorization) => {
    const callers: Readonly<Record<string, Caller>> = {
      "Bearer good": { kind: "api_key", id: "k1", principal: "api_key:k1", scopes: new Set(["probe.use"]) },
      "Bearer scopeless": { kind: "api_key", id: "k2", principal: "api_key:k2", scopes: new Set(["other"]) },
      "Bearer person": {
        kind: "person",
        id: "p1",
        principal: "person:p1",
        scopes: new Set(["probe.use"]),
        sessionId: "s1",
      },
      "Bearer service": { kind: "service", id: "count-write", principal: "service:count-write" },
      "Bearer undeclared": { kind: "service", id: "stranger", principal: "service:stranger" },
    };
    const name = authorization?.replace("later-", "") ?? "";
    const caller = callers[name];
    if (caller === undefined) {
      throw identityErrors.credentialsInvalid({ message: "these credentials are not valid" });
    }
    return name === authorization ? caller : systemClock.sleep(laterMs).then(() => caller);
  },
};

/** Calls that began and how they ended. */
export function recordingObserver(ended: string[]): CallObserver {
  return {
    begin: ({ method, protocol }) => {
      let open = true;
      return {
        traceparent: undefined,
        end: (code) => {
          if (open) ended.push(`${protocol} ${method} ${code}`);
          open = false;
        },
        run: (work) => work(),
      };
    },
  };
}

/** A log whose lines a test reads. */
export function recordingLog(lines: { message: string; fields: unknown }[]): Logger {
  const write = (message: string, fields?: unknown): void => {
    lines.push({ message, fields });
  };
  const log: Logger = { debug: write, info: write, warn: write, error: write, child: () => log };
  return log;
}
