import {
  ExportUserDataResponseSchema,
  UserService,
} from "../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { plainMessage } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { userArgument, userIdOf } from "./person.ts";

/** `muin users export`. */
export const exportData = remoteCommand({
  name: "export",
  description: "print all that Muin holds of a person, as JSON",
  arguments: { user: userArgument },
  examples: ["muin users export ada@example.org > ada.json"],
  call: async ({ user }, muin) => {
    const reply = await muin.client(UserService).exportUserData({ userId: await userIdOf(user, muin) });
    return plainMessage(ExportUserDataResponseSchema, reply);
  },
  json: (copy) => copy,
  print: (copy, output) => output.print(JSON.stringify(copy, undefined, 2)),
});
