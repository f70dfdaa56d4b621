import {
  ActivateDeviceResponseSchema,
  DeviceService,
} from "../../../../internal/gen/muin/identity/v1/device_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import { keyFileOption, nameDeviceKeyFile, openDeviceKeyFile } from "./device-key-file.ts";

/** `muin devices activate`. */
export const activate = remoteCommand({
  name: "activate",
  description: "on the device: make its key and activate it; the same command again goes on where it was cut off",
  options: {
    code: { value: "code", help: "activation code", required: true },
    keyFile: { ...keyFileOption, help: `${keyFileOption.help}; made when it is not there` },
  },
  examples: ["muin devices activate --url https://muin.example --code 7KQ2-M9XD-0RTV --key-file door.json"],
  call: async ({ code, keyFile }, { deviceClient }) => {
    const { deviceId, privateKey, publicKey } = await openDeviceKeyFile(keyFile);
    if (deviceId !== "") throw new Failure("usage", `${keyFile} is the key of device ${deviceId} already`);
    const devices = deviceClient(DeviceService, privateKey);
    const reply = await devices.activateDevice({ activationCode: code, publicKey });
    await nameDeviceKeyFile(keyFile, reply.device?.deviceId ?? "");
    return reply;
  },
  json: plain(ActivateDeviceResponseSchema),
  print: ({ device }, output) => output.print(`activated ${device?.deviceId ?? ""}`),
});
