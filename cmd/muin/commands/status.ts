import type { Command } from "commander";
import {
  GetStatusResponseSchema,
  type GetStatusResponse,
  OperationsService,
} from "../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { Failure } from "../terminal/failure.ts";
import { examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";

/** Registers `status`. */
export function registerStatus(program: Command, cli: Cli): void {
  const command = remote(program.command("status"))
    .description("show services, stores, outboxes and consumers; exits with 3 when Muin is not ready")
    .action(async (options: RemoteOptions) => {
      const { client, url } = await connect(options, cli.env);
      const status = await client(OperationsService).getStatus({}, { signal: cli.signal() });
      if (options.json === true) cli.output.json(plainMessage(GetStatusResponseSchema, status));
      else printStatus(cli, url, status);
      if (!status.ready) throw new Failure("unreachable", "Muin is not ready");
    });
  examples(command, "muin status", "muin status --json");
}

function printStatus({ output }: Cli, url: string, status: GetStatusResponse): void {
  const { paint } = output;
  const good = (is: boolean, yes: string, no: string): string => (is ? paint("green", yes) : paint("red", no));
  output.print(`Muin ${status.version} at ${url} is ${good(status.ready, "ready", "not ready")}`);
  const section = (header: readonly string[], rows: readonly (readonly string[])[]): void => {
    if (rows.length === 0) return;
    output.print("");
    output.table(header, rows);
  };
  section(
    ["SERVICE", "STATE", ""],
    status.services.map(({ name, ready, detail }) => [name, good(ready, "ready", "not ready"), detail]),
  );
  section(
    ["STORE", "KIND", "STATE", ""],
    status.stores.map(({ name, kind, reachable, detail }) => [
      name,
      kind,
      good(reachable, "reachable", "away"),
      detail,
    ]),
  );
  section(
    ["OUTBOX", "WAITING", "OLDEST"],
    status.outboxes.map(({ service, depth, ageMs }) => [service, String(depth), depth === 0n ? "" : `${ageMs} ms`]),
  );
  section(
    ["CONSUMER", "TOPIC", "LAG", "DEAD LETTERS", ""],
    status.consumers.map(({ service, topic, lag, deadLetters, lost }) => [
      service,
      topic,
      String(lag),
      String(deadLetters),
      lost ? paint("red", "LOST: must be rebuilt, see muin events republish") : "",
    ]),
  );
}
