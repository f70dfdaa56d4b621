import { CountWriteService } from "../../../../internal/gen/muin/count/v1/count_write_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { wholeNumber } from "../../terminal/values.ts";
import { countArgument, valueMax } from "./count-argument.ts";
import { callWrite, requestIdOption, writeShown } from "./write-call.ts";

/** `muin counts dec`. */
export const dec = remoteCommand({
  name: "dec",
  description: "subtract from a Count and print its new value",
  arguments: { countId: countArgument, delta: { help: "by how much", parse: wholeNumber(1, valueMax), default: 1 } },
  options: { requestId: requestIdOption },
  examples: ["muin counts dec visits", "muin counts dec visits 5 --request-id order-8213-visit --json"],
  call: ({ countId, delta, requestId: given }, muin) => {
    const write = muin.client(CountWriteService);
    return callWrite((requestId) => write.decrement({ countId, delta: BigInt(delta), requestId }), given, muin);
  },
  ...writeShown,
});
