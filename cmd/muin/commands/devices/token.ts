import {
  DeviceService,
  IssueDeviceTokenResponseSchema,
} from "../../../../internal/gen/muin/identity/v1/device_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import { minuteText } from "../../terminal/time-text.ts";
import { keyFileOption, readDeviceKeyFile } from "./device-key-file.ts";

/** `muin devices token`. */
export const token = remoteCommand({
  name: "token",
  description: "on the device: get a token of a day; each call that carries it is signed with the key too",
  options: { keyFile: keyFileOption },
  examples: ["muin devices token --url https://muin.example --key-file door.json > door.token"],
  call: async ({ keyFile }, { deviceClient }) => {
    const { deviceId, privateKey } = await readDeviceKeyFile(keyFile);
    if (deviceId === "") throw new Failure("usage", `${keyFile} is of no device yet: activate it first`);
    return deviceClient(DeviceService, privateKey).issueDeviceToken({ deviceId });
  },
  json: plain(IssueDeviceTokenResponseSchema),
  print: ({ token: issued, expireTime }, output) => {
    output.print(issued);
    output.note(`it ends ${minuteText(expireTime, "never")}`);
  },
});
