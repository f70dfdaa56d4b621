import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { CountInfoSchema, CountState } from "../../../../internal/gen/muin/count/v1/count_pb.ts";
import { CountManagementService } from "../../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../../../../internal/gen/muin/count/v1/count_read_service_pb.ts";
import { plainMessage } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";

/** What was written is seen. */
const maxStaleness = durationFromMs(0);

/** `muin counts list`. */
export const list = remoteCommand({
  name: "list",
  description: "list Counts with their values, in the order of their ids",
  options: {
    prefix: { value: "text", help: "only ids that begin with this" },
    label: { value: "key=value", help: "only Counts with this label; may be given several times", many: true },
    state: {
      value: "state",
      help: "only Counts in this state",
      choices: ["active", "deleted"],
      default: "active",
    },
  },
  examples: ["muin counts list", "muin counts list --prefix status. --label branch=gangnam --json"],
  read: async ({ prefix = "", label = [], state }, { client }, page) => {
    const filter = { prefix, labels: [...label], state: state === "deleted" ? CountState.DELETED : CountState.ACTIVE };
    const { countInfos, nextPageToken } = await client(CountManagementService).listCounts({ ...filter, ...page });
    const values = new Map<string, bigint>();
    if (state === "active" && countInfos.length > 0) {
      const countIds = countInfos.map(({ countId }) => countId);
      const { counts } = await client(CountReadService).batchGetCounts({ countIds, maxStaleness });
      for (const { value } of counts) if (value !== undefined) values.set(value.countId, value.value);
    }
    return { entries: countInfos.map((info) => ({ info, value: values.get(info.countId) })), nextPageToken };
  },
  json: ({ info, value }) => ({
    ...plainMessage(CountInfoSchema, info),
    ...(value === undefined ? {} : { value: Number(value) }),
  }),
  columns: {
    COUNT: ({ info }) => info.countId,
    VALUE: ({ value }) => (value === undefined ? "" : String(value)),
    NAME: ({ info }) => info.displayName,
    LABELS: ({ info }) =>
      Object.entries(info.labels)
        .map(([key, label]) => `${key}=${label}`)
        .join(" "),
  },
  none: "there are no such Counts",
});
