import {
  DeadLetterSchema,
  OperationsService,
} from "../../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { refusedEventColumns } from "../../remote/refused-event-columns.ts";

/** `muin dead-letters list`. */
export const list = remoteCommand({
  name: "list",
  description: "list dead letters, oldest first",
  options: { service: { value: "name", help: "only those of this service" } },
  examples: ["muin dead-letters list", "muin dead-letters list --service count-management --json"],
  read: async ({ service = "" }, { client }, page) => {
    const { deadLetters, nextPageToken } = await client(OperationsService).listDeadLetters({ service, ...page });
    return { entries: deadLetters, nextPageToken };
  },
  json: plain(DeadLetterSchema),
  columns: refusedEventColumns,
  none: "there are no dead letters",
});
