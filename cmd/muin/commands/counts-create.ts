import { type Command, InvalidArgumentError } from "commander";
import {
  CountManagementService,
  CreateCountResponseSchema,
} from "../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { countId, examples, remote, type RemoteOptions, several, valueMax, wholeNumber } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";
import { retry } from "../retry.ts";

interface CreateOptions extends RemoteOptions {
  readonly name?: string;
  readonly label?: readonly string[];
  readonly min?: number;
  readonly max?: number;
  readonly value?: number;
}

/** How long a creation is repeated while Muin is away, in milliseconds. */
const boundMs = 10_000;

/** Registers `counts create`. */
export function registerCountsCreate(counts: Command, cli: Cli): void {
  const number = wholeNumber(-valueMax, valueMax);
  const command = remote(counts.command("create"))
    .argument("<count-id>", "its id: a-z 0-9 . _ -, beginning with a letter or digit", countId)
    .description("create a Count")
    .option("--name <text>", "name for people")
    .option("--label <key=value>", "label to find it by; may be given several times", several)
    .option("--min <number>", "lowest value", number)
    .option("--max <number>", "highest value", number)
    .option("--value <number>", "first value (default: 0, or the bound nearest to 0)", number)
    .action(async (id: string, options: CreateOptions) => {
      const labels = Object.fromEntries((options.label ?? []).map(labelOf));
      const { client } = await connect(options, cli.env);
      const management = client(CountManagementService);
      const request = {
        countId: id,
        countInfo: {
          displayName: options.name ?? "",
          labels,
          ...(options.min === undefined ? {} : { minValue: BigInt(options.min) }),
          ...(options.max === undefined ? {} : { maxValue: BigInt(options.max) }),
        },
        ...(options.value === undefined ? {} : { initialValue: BigInt(options.value) }),
        requestId: cli.random.uuid(),
      };
      const signal = cli.signal();
      const reply = await retry(() => management.createCount(request, { signal }), {
        ...cli,
        signal,
        boundMs,
        patient: false,
      });
      if (options.json === true) cli.output.json(plainMessage(CreateCountResponseSchema, reply));
      else cli.output.print(`created ${id} with the value ${reply.value?.value ?? 0}`);
    });
  examples(
    command,
    "muin counts create visits",
    'muin counts create seats --name "Free seats" --label branch=gangnam --min 0 --max 40 --value 40',
  );
}

function labelOf(text: string): readonly [key: string, value: string] {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError(`The label "${text}" must be written key=value.`);
  return [text.slice(0, at), text.slice(at + 1)];
}
