import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type Command, Option } from "commander";
import { CountInfoSchema, CountState } from "../../../internal/gen/muin/count/v1/count_pb.ts";
import { CountManagementService } from "../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../../../internal/gen/muin/count/v1/count_read_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { examples, remote, type RemoteOptions, several, wholeNumber } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";

interface ListOptions extends RemoteOptions {
  readonly prefix?: string;
  readonly label?: readonly string[];
  readonly state: "active" | "deleted";
  readonly limit?: number;
}

/** What was written is seen. */
const now = durationFromMs(0);

/** Counts asked for at once. */
const pageSize = 500;

/** Registers `counts list`. */
export function registerCountsList(counts: Command, cli: Cli): void {
  const command = remote(counts.command("list"))
    .description("list Counts with their values, in the order of their ids")
    .option("--prefix <text>", "only ids that begin with this")
    .option("--label <key=value>", "only Counts with this label; may be given several times", several)
    .addOption(
      new Option("--state <state>", "only Counts in this state").choices(["active", "deleted"]).default("active"),
    )
    .option("--limit <number>", "at most so many", wholeNumber(1, 1_000_000))
    .action(async (options: ListOptions) => {
      const { client } = await connect(options, cli.env);
      const signal = cli.signal();
      const management = client(CountManagementService);
      const read = client(CountReadService);
      const rows: string[][] = [];
      let left = options.limit ?? Infinity;
      let pageToken = "";
      do {
        const page = await management.listCounts(
          {
            pageSize: Math.min(pageSize, left),
            pageToken,
            prefix: options.prefix ?? "",
            labels: [...(options.label ?? [])],
            state: options.state === "deleted" ? CountState.DELETED : CountState.ACTIVE,
          },
          { signal },
        );
        const values = new Map<string, bigint>();
        if (options.state === "active" && page.countInfos.length > 0) {
          const countIds = page.countInfos.map(({ countId }) => countId);
          const { counts: found } = await read.batchGetCounts({ countIds, maxStaleness: now }, { signal });
          for (const { value } of found) if (value !== undefined) values.set(value.countId, value.value);
        }
        for (const info of page.countInfos) {
          const value = values.get(info.countId);
          if (options.json === true) {
            cli.output.json({
              ...plainMessage(CountInfoSchema, info),
              ...(value === undefined ? {} : { value: Number(value) }),
            });
          } else {
            const labels = Object.entries(info.labels).map(([key, label]) => `${key}=${label}`);
            rows.push([info.countId, value === undefined ? "" : String(value), info.displayName, labels.join(" ")]);
          }
        }
        left -= page.countInfos.length;
        pageToken = page.nextPageToken;
      } while (pageToken !== "" && left > 0);
      if (options.json === true) return;
      if (rows.length > 0) cli.output.table(["COUNT", "VALUE", "NAME", "LABELS"], rows);
      if (pageToken !== "") cli.output.note(`there are more than these ${rows.length}`);
      else if (rows.length === 0) cli.output.note("there are no such Counts");
    });
  examples(command, "muin counts list", "muin counts list --prefix status. --label branch=gangnam --json");
}
