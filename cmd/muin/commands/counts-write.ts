import { type Client, Code, ConnectError } from "@connectrpc/connect";
import { type Command, InvalidArgumentError } from "commander";
import { CountValueSchema } from "../../../internal/gen/muin/count/v1/count_pb.ts";
import {
  CountWriteService,
  type IncrementResponse,
} from "../../../internal/gen/muin/count/v1/count_write_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect, ConnectionRefused } from "../remote/connection.ts";
import { Failure, reasonOf } from "../terminal/failure.ts";
import { countId, examples, remote, type RemoteOptions, valueMax, wholeNumber } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";
import { retry } from "../retry.ts";

interface WriteOptions extends RemoteOptions {
  readonly requestId?: string;
}

/** How long a write is repeated with the same request id while its outcome is unknown, in milliseconds. */
const boundMs = 10_000;

/** Sends one write. Decrement and Set reply with the same fields as Increment. */
type Send = (
  write: Client<typeof CountWriteService>,
  requestId: string,
  signal: AbortSignal,
) => Promise<Pick<IncrementResponse, "value" | "replayed">>;

/** Registers `counts inc`, `counts dec` and `counts set`. */
export function registerCountsWrite(counts: Command, cli: Cli): void {
  const delta = wholeNumber(1, valueMax);
  for (const { verb, word, method } of [
    { verb: "inc", word: "add to", method: "increment" },
    { verb: "dec", word: "subtract from", method: "decrement" },
  ] as const) {
    const command = writing(counts.command(verb))
      .argument("<count-id>", "the Count", countId)
      .argument("[delta]", "by how much", delta, 1)
      .description(`${word} a Count and print its new value`)
      .action((id: string, by: number, options: WriteOptions) =>
        perform(cli, options, (write, requestId, signal) =>
          write[method]({ countId: id, delta: BigInt(by), requestId }, { signal }),
        ),
      );
    examples(
      command,
      `muin counts ${verb} visits`,
      `muin counts ${verb} visits 5 --request-id order-8213-visit --json`,
    );
  }
  const command = writing(counts.command("set"))
    .argument("<count-id>", "the Count", countId)
    .argument("<value>", "the new value", wholeNumber(-valueMax, valueMax))
    .description("set a Count to a value (a negative one after --)")
    .action((id: string, value: number, options: WriteOptions) =>
      perform(cli, options, (write, requestId, signal) =>
        write.set({ countId: id, value: BigInt(value), requestId }, { signal }),
      ),
    );
  examples(command, "muin counts set visits 0", "muin counts set balance -- -12");
}

function writing(command: Command): Command {
  return remote(command).option("--request-id <id>", "makes it safe to repeat (default: a new UUID)", (text) => {
    if (/^[!-~]{8,64}$/.test(text)) return text;
    throw new InvalidArgumentError("Give 8 to 64 printable characters without spaces.");
  });
}

async function perform(cli: Cli, options: WriteOptions, send: Send): Promise<void> {
  const { client } = await connect(options, cli.env);
  const requestId = options.requestId ?? cli.random.uuid();
  const signal = cli.signal();
  const write = client(CountWriteService);
  let mayHaveArrived = false;
  const reply = await retry(() => send(write, requestId, signal), {
    ...cli,
    signal,
    boundMs,
    patient: false,
    onPause: (error) => {
      mayHaveArrived ||= isUncertain(error);
    },
  }).catch((error: unknown) => {
    if (!(error instanceof ConnectError) || !(mayHaveArrived || isUncertain(error))) throw error;
    throw new Failure(
      "unknownOutcome",
      `it cannot be told whether the write was applied (${error.rawMessage}); repeat it with --request-id ${requestId}`,
      { cause: error },
    );
  });
  if (options.json === true) {
    cli.output.json({ ...(reply.value && plainMessage(CountValueSchema, reply.value)), replayed: reply.replayed });
  } else {
    cli.output.print(String(reply.value?.value ?? 0n));
  }
}

/** Whether the write may have been applied although this error came instead of a reply. */
function isUncertain(error: ConnectError): boolean {
  if (error.cause instanceof ConnectionRefused) return false;
  if (error.code === Code.DeadlineExceeded || error.code === Code.Canceled) return true;
  const reason = reasonOf(error);
  return error.code === Code.Unavailable && (reason === undefined || reason === "OUTCOME_UNKNOWN");
}
