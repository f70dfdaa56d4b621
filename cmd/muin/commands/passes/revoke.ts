import { EntryPassService } from "../../../../internal/gen/muin/identity/v1/entry_pass_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";

/** `muin passes revoke`. */
export const revoke = remoteCommand({
  name: "revoke",
  description: "end an entry pass, at every door within a second while events flow, otherwise when it ends by its time",
  arguments: { passId: { help: "the pass, as passes issue names it" } },
  examples: ["muin passes revoke 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55"],
  call: ({ passId }, { client }) => client(EntryPassService).revokeEntryPass({ entryPassId: passId }),
  json: (_reply, { passId }) => ({ entry_pass_id: passId, revoked: true }),
  print: (_reply, output, { passId }) => output.print(`revoked ${passId}`),
});
