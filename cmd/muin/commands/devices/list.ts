import {
  DeviceSchema,
  DeviceService,
  DeviceState,
  type Device,
} from "../../../../internal/gen/muin/identity/v1/device_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { minuteText } from "../../terminal/time-text.ts";

/** `muin devices list`. */
export const list = remoteCommand({
  name: "list",
  description: "list devices, newest first",
  options: {
    branch: { value: "branch-id", help: "only those of this branch" },
    all: { help: "revoked ones too" },
  },
  examples: ["muin devices list", "muin devices list --all --json"],
  read: async ({ branch = "", all }, { client }, page) => {
    const filter = { branchId: branch, showRevoked: all === true };
    const { devices, nextPageToken } = await client(DeviceService).listDevices({ ...filter, ...page });
    return { entries: devices, nextPageToken };
  },
  json: plain(DeviceSchema),
  columns: {
    DEVICE: ({ deviceId }) => deviceId,
    NAME: ({ displayName }) => displayName,
    BRANCHES: ({ branchIds }) => branchIds.join(" "),
    STATE: stateText,
    REGISTERED: ({ createTime }) => minuteText(createTime),
    "LAST TOKEN": ({ tokenTime }) => minuteText(tokenTime, "never"),
  },
  none: "there are no devices",
});

function stateText({ state, revokeTime }: Device): string {
  switch (state) {
    case DeviceState.PENDING:
      return "pending";
    case DeviceState.ACTIVE:
      return "active";
    case DeviceState.REVOKED:
      return `revoked ${minuteText(revokeTime)}`;
    case DeviceState.UNSPECIFIED:
    default:
      return "unknown";
  }
}
