import {
  OperationsService,
  ParkedEventSchema,
} from "../../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { refusedEventColumns } from "../../remote/refused-event-columns.ts";

/** `muin outbox list`. */
export const list = remoteCommand({
  name: "list",
  description: "list events that the event bus refused, and those of their keys that wait behind them",
  options: { service: { value: "name", help: "only those of this service" } },
  examples: ["muin outbox list", "muin outbox list --service auth --json"],
  read: async ({ service = "" }, { client }, page) => {
    const { parkedEvents, nextPageToken } = await client(OperationsService).listParkedEvents({ service, ...page });
    return { entries: parkedEvents, nextPageToken };
  },
  json: plain(ParkedEventSchema),
  columns: refusedEventColumns,
  none: "no event is parked",
});
