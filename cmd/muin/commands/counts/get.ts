import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { CountSchema, CountSource } from "../../../../internal/gen/muin/count/v1/count_pb.ts";
import { CountReadService } from "../../../../internal/gen/muin/count/v1/count_read_service_pb.ts";
import { plainMessage } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import { durationMs } from "../../terminal/values.ts";
import { countIdOf } from "./count-argument.ts";

/** `muin counts get`. */
export const get = remoteCommand({
  name: "get",
  description: "read Counts: up to 1000, in the order given",
  arguments: { countId: { help: "the Counts", parse: countIdOf, many: true } },
  options: {
    maxStaleness: {
      value: "time",
      help: "how old a value may be; more than 0s reads caches and the replica",
      parse: durationMs,
      default: 0,
      defaultText: "0s: what was written is seen",
    },
  },
  examples: ["muin counts get visits", "muin counts get visits seats --max-staleness 1s --json"],
  run: async ({ countId: countIds, maxStaleness: maxStalenessMs, json }, { client, output }) => {
    const maxStaleness = durationFromMs(maxStalenessMs);
    const read = client(CountReadService);
    const [only = ""] = countIds;
    const { counts, missingCountIds } =
      countIds.length === 1
        ? { counts: [(await read.getCount({ countId: only, maxStaleness })).count], missingCountIds: [] }
        : await read.batchGetCounts({ countIds: [...countIds], maxStaleness });
    const found = counts.flatMap((count) => count ?? []);
    if (json === true) {
      for (const count of found) output.json(plainMessage(CountSchema, count));
    } else if (found.length > 0) {
      const rows = found.map(({ value, source }) => [
        value?.countId ?? "",
        String(value?.value ?? 0n),
        String(value?.revision ?? 0n),
        sourceWords[source] ?? "unknown",
      ]);
      output.table(["COUNT", "VALUE", "REVISION", "FROM"], rows);
    }
    if (missingCountIds.length > 0) throw new Failure("notFound", `there is no Count ${missingCountIds.join(", ")}`);
  },
});

const sourceWords: Readonly<Record<number, string>> = {
  [CountSource.PRIMARY]: "primary",
  [CountSource.REPLICA]: "replica",
  [CountSource.CACHE]: "cache",
};
