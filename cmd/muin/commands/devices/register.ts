import {
  DeviceService,
  RegisterDeviceResponseSchema,
} from "../../../../internal/gen/muin/identity/v1/device_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { minuteText } from "../../terminal/time-text.ts";

/** `muin devices register`. */
export const register = remoteCommand({
  name: "register",
  description: "register a device; its activation code is printed once, kept nowhere and good for an hour",
  arguments: { name: { help: "name for people" } },
  options: {
    branch: {
      value: "branch-id",
      help: "branch that it acts for; may be given several times",
      many: true,
      required: true,
    },
  },
  examples: ['muin devices register "Front door" --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55'],
  call: ({ name, branch }, { client }) =>
    client(DeviceService).registerDevice({ displayName: name, branchIds: [...branch] }),
  json: plain(RegisterDeviceResponseSchema),
  print: ({ activationCode, activationExpireTime, device }, output) => {
    output.print(activationCode);
    const end = minuteText(activationExpireTime);
    output.note(`this is the activation code of device ${device?.deviceId ?? ""}, good once and until ${end}`);
  },
});
