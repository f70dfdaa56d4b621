import { OwnerSchema, OwnerService } from "../../../../../internal/gen/muin/identity/v1/owner_service_pb.ts";
import { plain } from "../../../remote/plain-message.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { ownerColumns } from "./owner.ts";

/** `muin branches owners list`. */
export const list = remoteCommand({
  name: "list",
  description: "list owners",
  examples: ["muin branches owners list --json"],
  read: async (_given, { client }, page) => {
    const { owners, nextPageToken } = await client(OwnerService).listOwners(page);
    return { entries: owners, nextPageToken };
  },
  json: plain(OwnerSchema),
  columns: ownerColumns,
  none: "there are no owners",
});
