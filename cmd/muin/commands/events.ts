import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  OperationsService,
  ReplayEventsResponseSchema,
  RepublishEventsResponseSchema,
  type TailEventsResponse,
} from "../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";

/** Publishing every aggregate again takes its time, in milliseconds. */
const republishTimeoutMs = 3_600_000;

/** Registers `events` and what belongs to it. */
export function registerEvents(program: Command, cli: Cli): void {
  const events = program.command("events").description("watch events, publish state again, replay a consumer");
  registerTail(events, cli);
  registerRepublish(events, cli);
  registerReplay(events, cli);
}

function registerTail(events: Command, cli: Cli): void {
  const command = remote(events.command("tail <topic>"))
    .description("print events of a topic as they are published, until interrupted")
    .option("--from-start", "begin with the oldest event that is kept")
    .action(async (topic: string, options: RemoteOptions & { readonly fromStart?: boolean }) => {
      const { client } = await connect(options, cli.env);
      const signal = cli.signal();
      const stream = client(OperationsService).tailEvents(
        { topic, fromStart: options.fromStart === true },
        { signal, timeoutMs: 0 },
      );
      try {
        for await (const event of stream) {
          if (options.json === true) cli.output.json(jsonOf(event));
          else cli.output.print(lineOf(event));
        }
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    });
  examples(command, "muin events tail count.value", "muin events tail count.info --from-start --json");
}

function jsonOf(event: TailEventsResponse): unknown {
  return {
    id: event.id,
    source: event.source,
    type: event.type,
    subject: event.subject,
    time: timeOf(event),
    data: JSON.parse(event.dataJson) as unknown,
  };
}

function lineOf(event: TailEventsResponse): string {
  const type = event.type.slice(event.type.lastIndexOf(".") + 1);
  return [timeOf(event), type, event.subject, event.dataJson].join("  ");
}

function timeOf(event: TailEventsResponse): string {
  return event.time === undefined ? "" : timestampDate(event.time).toISOString();
}

function registerRepublish(events: Command, cli: Cli): void {
  const command = remote(events.command("republish <topic>"))
    .description("publish the current state of all that a topic tells of again; harmless for who has it")
    .action(async (topic: string, options: RemoteOptions) => {
      const { client } = await connect(options, cli.env);
      const reply = await client(OperationsService).republishEvents(
        { topic },
        { signal: cli.signal(), timeoutMs: republishTimeoutMs },
      );
      if (options.json === true) cli.output.json(plainMessage(RepublishEventsResponseSchema, reply));
      else cli.output.print(`published the state of ${reply.republished} again`);
    });
  examples(command, "muin events republish count.info");
}

function registerReplay(events: Command, cli: Cli): void {
  const command = remote(events.command("replay <service> <topic>"))
    .description("have one consumer read a topic again from its oldest event, effects included")
    .action(async (service: string, topic: string, options: RemoteOptions) => {
      const { client } = await connect(options, cli.env);
      const reply = await client(OperationsService).replayEvents({ service, topic }, { signal: cli.signal() });
      if (options.json === true) cli.output.json(plainMessage(ReplayEventsResponseSchema, reply));
      else cli.output.print(`${service} reads ${topic} again, as generation ${reply.generation}`);
    });
  examples(command, "muin events replay count-management count.value");
}
