import { CountInfoSchema } from "../../../../internal/gen/muin/count/v1/count_pb.ts";
import { CountManagementService } from "../../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { countArgument } from "./count-argument.ts";

/** `muin counts delete`. */
export const remove = remoteCommand({
  name: "delete",
  description: "delete a Count; it can be undeleted",
  arguments: { countId: countArgument },
  examples: ["muin counts delete visits"],
  call: async ({ countId }, { client, repeat, random }) => {
    const request = { countId, requestId: random.uuid() };
    return (await repeat(() => client(CountManagementService).deleteCount(request))).countInfo;
  },
  json: plain(CountInfoSchema),
  print: (_info, output, { countId }) => output.print(`deleted ${countId}`),
});
