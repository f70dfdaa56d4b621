import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Command, Option } from "commander";
import { CountSchema, CountSource } from "../../../internal/gen/muin/count/v1/count_pb.ts";
import { CountReadService } from "../../../internal/gen/muin/count/v1/count_read_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { Failure } from "../terminal/failure.ts";
import { countIds, durationMs, examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";

interface GetOptions extends RemoteOptions {
  readonly maxStaleness: number;
}

/** Registers `counts get`. */
export function registerCountsGet(counts: Command, cli: Cli): void {
  const command = remote(counts.command("get"))
    .argument("<count-id...>", "the Counts", countIds)
    .description("read Counts: up to 1000, in the order given")
    .addOption(
      new Option("--max-staleness <time>", "how old a value may be; more than 0s reads caches and the replica")
        .argParser(durationMs)
        .default(0, "0s: what was written is seen"),
    )
    .action(async (ids: readonly string[], options: GetOptions) => {
      const { client } = await connect(options, cli.env);
      const signal = cli.signal();
      const maxStaleness = durationFromMs(options.maxStaleness);
      const read = client(CountReadService);
      const [only] = ids;
      let found;
      let missing: readonly string[] = [];
      if (ids.length === 1 && only !== undefined) {
        const { count } = await read.getCount({ countId: only, maxStaleness }, { signal });
        found = count === undefined ? [] : [count];
      } else {
        const reply = await read.batchGetCounts({ countIds: [...ids], maxStaleness }, { signal });
        found = reply.counts;
        missing = reply.missingCountIds;
      }
      if (options.json === true) {
        for (const count of found) cli.output.json(plainMessage(CountSchema, count));
      } else if (found.length > 0) {
        const rows = found.map((count) => [
          count.value?.countId ?? "",
          String(count.value?.value ?? 0n),
          String(count.value?.revision ?? 0n),
          sourceWords[count.source] ?? "unknown",
        ]);
        cli.output.table(["COUNT", "VALUE", "REVISION", "FROM"], rows);
      }
      if (missing.length > 0) throw new Failure("notFound", `there is no Count ${missing.join(", ")}`);
    });
  examples(command, "muin counts get visits", "muin counts get visits seats --max-staleness 1s --json");
}

const sourceWords: Readonly<Record<number, string>> = {
  [CountSource.PRIMARY]: "primary",
  [CountSource.REPLICA]: "replica",
  [CountSource.CACHE]: "cache",
};
