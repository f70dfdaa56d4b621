import { Code, ConnectError } from "@connectrpc/connect";
import { InvalidArgumentError } from "commander";
import { CountValueSchema } from "../../../../internal/gen/muin/count/v1/count_pb.ts";
import type { IncrementResponse } from "../../../../internal/gen/muin/count/v1/count_write_service_pb.ts";
import { ConnectionRefused } from "../../remote/connection.ts";
import { plainMessage } from "../../remote/plain-message.ts";
import type { Remote } from "../../remote/remote-command.ts";
import { Failure, reasonOf } from "../../terminal/failure.ts";
import type { Output } from "../../terminal/output.ts";

/** What a write answers. Decrement and Set reply with the same fields as Increment. */
type WriteReply = Pick<IncrementResponse, "value" | "replayed">;

/** The option of a write. */
export const requestIdOption = {
  value: "id",
  help: "makes it safe to repeat (default: a new UUID)",
  parse: (text: string): string => {
    if (/^[!-~]{8,64}$/.test(text)) return text;
    throw new InvalidArgumentError("Give 8 to 64 printable characters without spaces.");
  },
} as const;

/**
 * Sends a write, and repeats it with the same request id while Muin is away or its outcome is unknown. When that does not end, the
 * failure tells the request id by which it can be repeated without being applied twice.
 */
export async function callWrite(
  send: (requestId: string) => Promise<WriteReply>,
  given: string | undefined,
  { repeat, random }: Pick<Remote, "repeat" | "random">,
): Promise<WriteReply> {
  const requestId = given ?? random.uuid();
  let mayHaveArrived = false;
  try {
    return await repeat(() => send(requestId), {
      onPause: (error) => {
        mayHaveArrived ||= isUncertain(error);
      },
    });
  } catch (error) {
    if (!mayHaveArrived && !isUncertain(error)) throw error;
    const why = error instanceof ConnectError ? error.rawMessage : "interrupted";
    throw new Failure(
      "unknownOutcome",
      `it cannot be told whether the write was applied (${why}); repeat it with --request-id ${requestId}`,
      { cause: error },
    );
  }
}

/** How the reply to a write is shown. */
export const writeShown = {
  json: ({ value, replayed }: WriteReply): unknown => ({
    ...(value && plainMessage(CountValueSchema, value)),
    replayed,
  }),
  print: ({ value }: WriteReply, output: Output): void => output.print(String(value?.value ?? 0n)),
} as const;

/** Whether the write may have been applied although this error came instead of a reply. */
function isUncertain(error: unknown): boolean {
  if (!(error instanceof ConnectError) || error.cause instanceof ConnectionRefused) return false;
  if (error.code === Code.DeadlineExceeded || error.code === Code.Canceled) return true;
  const reason = reasonOf(error);
  return error.code === Code.Unavailable && (reason === undefined || reason === "OUTCOME_UNKNOWN");
}
