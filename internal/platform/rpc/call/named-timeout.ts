import { Code, ConnectError } from "@connectrpc/connect";
import type { NamedTimeout } from "./call.ts";

const none: NamedTimeout = {};

/** The deadline in the header Connect-Timeout-Ms: https://connectrpc.com/docs/protocol#unary-request. */
export function readConnectTimeout(value: string | null, timeoutMsMax: number): NamedTimeout {
  if (value === null) return none;
  const timeoutMs = /^\d{1,10}$/.test(value) ? Number(value) : Infinity;
  if (timeoutMs <= timeoutMsMax) return { timeoutMs };
  return refused(`Connect-Timeout-Ms must be whole milliseconds, ${timeoutMsMax} at the most`);
}

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** The deadline in the header grpc-timeout: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. */
export function readGrpcTimeout(value: string | null, timeoutMsMax: number): NamedTimeout {
  if (value === null) return none;
  const [, digits, unit = ""] = /^(\d{1,8})([HMSmun])$/.exec(value) ?? [];
  const timeoutMs = digits === undefined ? Infinity : Number(digits) * unitMs[unit]!;
  if (timeoutMs <= timeoutMsMax) return { timeoutMs };
  return refused(
    `grpc-timeout must be 1 to 8 digits and one of H, M, S, m, u and n, and ${timeoutMsMax} ms at the most`,
  );
}

function refused(message: string): NamedTimeout {
  return { error: new ConnectError(message, Code.InvalidArgument) };
}
