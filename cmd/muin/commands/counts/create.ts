import { InvalidArgumentError } from "commander";
import {
  CountManagementService,
  CreateCountResponseSchema,
} from "../../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { wholeNumber } from "../../terminal/values.ts";
import { countIdOf, valueMax } from "./count-argument.ts";

const value = { value: "number", parse: wholeNumber(-valueMax, valueMax) } as const;

/** `muin counts create`. */
export const create = remoteCommand({
  name: "create",
  description: "create a Count",
  arguments: {
    countId: { help: "its id: a-z 0-9 . _ -, beginning with a letter or digit", parse: countIdOf },
  },
  options: {
    name: { value: "text", help: "name for people" },
    label: { value: "key=value", help: "label to find it by; may be given several times", parse: labelOf, many: true },
    min: { ...value, help: "lowest value" },
    max: { ...value, help: "highest value" },
    value: { ...value, help: "first value (default: 0, or the bound nearest to 0)" },
  },
  examples: [
    "muin counts create visits",
    'muin counts create seats --name "Free seats" --label branch=gangnam --min 0 --max 40 --value 40',
  ],
  call: ({ countId, name = "", label = [], min, max, value: initial }, { client, repeat, random }) => {
    const request = {
      countId,
      countInfo: {
        displayName: name,
        labels: Object.fromEntries(label),
        ...(min === undefined ? {} : { minValue: BigInt(min) }),
        ...(max === undefined ? {} : { maxValue: BigInt(max) }),
      },
      ...(initial === undefined ? {} : { initialValue: BigInt(initial) }),
      requestId: random.uuid(),
    };
    return repeat(() => client(CountManagementService).createCount(request));
  },
  json: plain(CreateCountResponseSchema),
  print: (reply, output, { countId }) => output.print(`created ${countId} with the value ${reply.value?.value ?? 0}`),
});

function labelOf(text: string): readonly [key: string, value: string] {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError(`The label "${text}" must be written key=value.`);
  return [text.slice(0, at), text.slice(at + 1)];
}
