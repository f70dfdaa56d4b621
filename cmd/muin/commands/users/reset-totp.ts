import { CredentialService } from "../../../../internal/gen/muin/identity/v1/credential_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { userArgument, userIdOf } from "./person.ts";

/** `muin users reset-totp`. */
export const resetTotp = remoteCommand({
  name: "reset-totp",
  description: "remove the second factor of a person who has lost it, and end their sessions",
  arguments: { user: userArgument },
  examples: ["muin users reset-totp ada@example.org"],
  call: async ({ user }, muin) => {
    const userId = await userIdOf(user, muin);
    await muin.client(CredentialService).resetTotp({ userId });
    return userId;
  },
  json: (userId) => ({ user_id: userId }),
  print: (userId, output) => output.print(`sign-in asks ${userId} for the password alone`),
});
