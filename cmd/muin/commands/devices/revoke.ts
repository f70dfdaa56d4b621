import { DeviceService } from "../../../../internal/gen/muin/identity/v1/device_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";

/** `muin devices revoke`. */
export const revoke = remoteCommand({
  name: "revoke",
  description: "end a device, everywhere within a second while events flow, otherwise when its token ends",
  arguments: { deviceId: { help: "the device, as devices list names it" } },
  examples: ["muin devices revoke 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55"],
  call: ({ deviceId }, { client }) => client(DeviceService).revokeDevice({ deviceId }),
  json: (_reply, { deviceId }) => ({ device_id: deviceId, revoked: true }),
  print: (_reply, output, { deviceId }) => output.print(`revoked ${deviceId}`),
});
