import {
  IssueBootstrapSecretResponseSchema,
  ServiceTokenService,
} from "../../../../internal/gen/muin/identity/v1/service_token_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { knownService, serviceArgument } from "./service-argument.ts";

/** `muin services secret`. */
export const secret = remoteCommand({
  name: "secret",
  description: "issue the secret by which a service's processes get their tokens; the one before it ends",
  arguments: { service: serviceArgument },
  examples: ["muin services secret count-write > count-write.secret"],
  call: async ({ service }, { client }) =>
    client(ServiceTokenService).issueBootstrapSecret({ serviceName: await knownService(service) }),
  json: plain(IssueBootstrapSecretResponseSchema),
  print: (reply, output, { service }) => {
    output.print(reply.secret);
    output.note(`it is not shown again; give it to ${service} in the file that MUIN_BOOTSTRAP_SECRET_FILE names`);
  },
});
