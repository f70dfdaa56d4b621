import {
  OperationsService,
  type TailEventsResponse,
} from "../../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { instantText } from "../../terminal/time-text.ts";

/** `muin events tail`. */
export const tail = remoteCommand({
  name: "tail",
  description: "print events of a topic as they are published, until interrupted",
  arguments: { topic: { help: "the topic, as graph names it" } },
  options: { fromStart: { help: "begin with the oldest event that is kept" } },
  examples: ["muin events tail count.value", "muin events tail count.info --from-start --json"],
  run: async ({ topic, fromStart, json }, { client, signal, output }) => {
    const request = { topic, fromStart: fromStart === true };
    try {
      for await (const event of client(OperationsService).tailEvents(request, { timeoutMs: 0 })) {
        if (json === true) output.json(jsonOf(event));
        else output.print(lineOf(event));
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  },
});

function jsonOf({ id, source, type, subject, time, epoch, dataJson }: TailEventsResponse): unknown {
  const data = JSON.parse(dataJson) as unknown;
  return { id, source, type, subject, time: instantText(time), epoch: Number(epoch), data };
}

function lineOf({ type, subject, time, dataJson }: TailEventsResponse): string {
  return [instantText(time), type.slice(type.lastIndexOf(".") + 1), subject, dataJson].join("  ");
}
