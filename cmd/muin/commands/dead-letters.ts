import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  DeadLetterSchema,
  OperationsService,
  RedriveDeadLettersResponseSchema,
} from "../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";

/** Dead letters asked for at once. */
const pageSize = 500;

/** Registers `dead-letters` and what belongs to it. */
export function registerDeadLetters(program: Command, cli: Cli): void {
  const letters = program.command("dead-letters").description("list and redrive events that a consumer gave up on");
  registerList(letters, cli);
  registerRedrive(letters, cli);
}

function registerList(letters: Command, cli: Cli): void {
  const command = remote(letters.command("list"))
    .description("list dead letters, oldest first")
    .option("--service <name>", "only those of this service")
    .action(async (options: RemoteOptions & { readonly service?: string }) => {
      const { client } = await connect(options, cli.env);
      const operations = client(OperationsService);
      const signal = cli.signal();
      const rows: string[][] = [];
      let pageToken = "";
      do {
        const page = await operations.listDeadLetters(
          { service: options.service ?? "", pageSize, pageToken },
          { signal },
        );
        for (const letter of page.deadLetters) {
          if (options.json === true) cli.output.json(plainMessage(DeadLetterSchema, letter));
          else {
            rows.push([
              letter.parkTime === undefined ? "" : timestampDate(letter.parkTime).toISOString(),
              letter.service,
              letter.topic,
              letter.subject,
              String(letter.attempts),
              letter.reason,
            ]);
          }
        }
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      if (options.json === true) return;
      if (rows.length === 0) cli.output.note("there are no dead letters");
      else cli.output.table(["PARKED", "SERVICE", "TOPIC", "KEY", "ATTEMPTS", "REASON"], rows);
    });
  examples(command, "muin dead-letters list", "muin dead-letters list --service count-management --json");
}

function registerRedrive(letters: Command, cli: Cli): void {
  const command = remote(letters.command("redrive <service>"))
    .description("hand parked events back to their consumer, in order")
    .option("--subject <key>", "only those of this key")
    .action(async (service: string, options: RemoteOptions & { readonly subject?: string }) => {
      const { client } = await connect(options, cli.env);
      const reply = await client(OperationsService).redriveDeadLetters(
        { service, subject: options.subject ?? "" },
        { signal: cli.signal() },
      );
      if (options.json === true) cli.output.json(plainMessage(RedriveDeadLettersResponseSchema, reply));
      else cli.output.print(`handed ${reply.redriven} back to ${service}`);
    });
  examples(
    command,
    "muin dead-letters redrive count-management",
    "muin dead-letters redrive count-read --subject visits",
  );
}
