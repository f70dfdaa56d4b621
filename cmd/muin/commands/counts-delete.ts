import type { Command } from "commander";
import { CountInfoSchema } from "../../../internal/gen/muin/count/v1/count_pb.ts";
import { CountManagementService } from "../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { countId, examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";
import { retry } from "../retry.ts";

/** How long a change is repeated while Muin is away, in milliseconds. */
const boundMs = 10_000;

/** Registers `counts delete` and its inverse, `counts undelete`. */
export function registerCountsDelete(counts: Command, cli: Cli): void {
  const words = [
    { verb: "delete", past: "deleted", description: "delete a Count; it can be undeleted" },
    { verb: "undelete", past: "undeleted", description: "bring a deleted Count back with the value that it had" },
  ] as const;
  for (const { verb, past, description } of words) {
    const command = remote(counts.command(verb))
      .argument("<count-id>", "the Count", countId)
      .description(description)
      .action(async (id: string, options: RemoteOptions) => {
        const { client } = await connect(options, cli.env);
        const management = client(CountManagementService);
        const request = { countId: id, requestId: cli.random.uuid() };
        const signal = cli.signal();
        const change = async () =>
          verb === "delete"
            ? (await management.deleteCount(request, { signal })).countInfo
            : (await management.undeleteCount(request, { signal })).countInfo;
        const countInfo = await retry(change, { ...cli, signal, boundMs, patient: false });
        if (options.json === true && countInfo !== undefined) cli.output.json(plainMessage(CountInfoSchema, countInfo));
        else cli.output.print(`${past} ${id}`);
      });
    examples(command, `muin counts ${verb} visits`);
  }
}
