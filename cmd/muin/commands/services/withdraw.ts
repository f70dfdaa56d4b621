import { ServiceTokenService } from "../../../../internal/gen/muin/identity/v1/service_token_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { serviceArgument } from "./service-argument.ts";

/** `muin services withdraw`. */
export const withdraw = remoteCommand({
  name: "withdraw",
  description: "end a service's secret and all of its tokens, everywhere within a second",
  arguments: { service: serviceArgument },
  examples: ["muin services withdraw count-write"],
  call: ({ service: serviceName }, { client }) => client(ServiceTokenService).withdrawService({ serviceName }),
  json: (_reply, { service }) => ({ service_name: service, withdrawn: true }),
  print: (_reply, output, { service }) => output.print(`withdrew ${service}`),
});
