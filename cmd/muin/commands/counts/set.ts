import { CountWriteService } from "../../../../internal/gen/muin/count/v1/count_write_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { wholeNumber } from "../../terminal/values.ts";
import { countArgument, valueMax } from "./count-argument.ts";
import { callWrite, requestIdOption, writeShown } from "./write-call.ts";

/** `muin counts set`. */
export const set = remoteCommand({
  name: "set",
  description: "set a Count to a value (a negative one after --)",
  arguments: { countId: countArgument, value: { help: "the new value", parse: wholeNumber(-valueMax, valueMax) } },
  options: { requestId: requestIdOption },
  examples: ["muin counts set visits 0", "muin counts set balance -- -12"],
  call: ({ countId, value, requestId: given }, muin) => {
    const write = muin.client(CountWriteService);
    return callWrite((requestId) => write.set({ countId, value: BigInt(value), requestId }), given, muin);
  },
  ...writeShown,
});
