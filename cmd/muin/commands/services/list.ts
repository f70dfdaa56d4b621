import {
  BootstrapSecretSchema,
  ServiceTokenService,
} from "../../../../internal/gen/muin/identity/v1/service_token_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { minuteText } from "../../terminal/time-text.ts";

/** `muin services list`. */
export const list = remoteCommand({
  name: "list",
  description: "list the services that have or had a bootstrap secret, without the secrets",
  examples: ["muin services list", "muin services list --json"],
  read: async (_given, { client }) => {
    const { bootstrapSecrets } = await client(ServiceTokenService).listBootstrapSecrets({});
    return { entries: bootstrapSecrets, nextPageToken: "" };
  },
  json: plain(BootstrapSecretSchema),
  columns: {
    SERVICE: ({ serviceName }) => serviceName,
    ISSUED: ({ issueTime }) => minuteText(issueTime),
    "LAST TOKEN": ({ renewTime }) => minuteText(renewTime, "never"),
    WITHDRAWN: ({ withdrawTime }) => minuteText(withdrawTime, ""),
  },
  none: "no service has a bootstrap secret",
});
