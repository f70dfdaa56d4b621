import { createClient, type Transport } from "@connectrpc/connect";
import { PersonalDataService } from "../../gen/muin/platform/v1/personal_data_service_pb.ts";
import { callErrors } from "../rpc/call/errors.ts";
import type { PersonalDataHolders } from "../service/define-service.ts";
import { partsOf, serve, type Served } from "../service/parts.ts";
import type { ComposedService } from "./compose-service.ts";
import { listed, runtimeErrors } from "./errors.ts";

/** Serves `PersonalDataService` for the services of this process that hold data of people. */
export function createPersonalDataService(
  services: readonly Pick<ComposedService, "info" | "parts" | "isUp">[],
): Served<typeof PersonalDataService> {
  const holders = services.filter(({ info }) => info.personalData === "held");
  return serve(PersonalDataService, {
    exportPersonalData: async ({ service, userId }, { signal }) => {
      const holder = holders.find(({ info }) => info.name === service);
      const [held] = partsOf(holder?.parts ?? [], "personalData");
      if (holder === undefined || held === undefined) {
        throw runtimeErrors.holderNotFound({ service, known: listed(holders.map(({ info }) => info.name)) });
      }
      if (!holder.isUp())
        throw callErrors.serviceStarting({ message: `${service} is starting: try again in a moment` });
      const data = await held.exportOf(userId, signal);
      return data === undefined ? {} : { data };
    },
  });
}

/** Asks the services `names` for what they hold of people; `transportTo` carries calls to the process of one of them. */
export function createPersonalDataHolders(
  names: readonly string[],
  transportTo: (holder: string) => Transport,
): PersonalDataHolders {
  const clients = new Map(names.map((name) => [name, createClient(PersonalDataService, transportTo(name))]));
  return {
    names,
    exportFrom: async (holder, userId, signal) => {
      const client = clients.get(holder);
      if (client === undefined) throw new Error(`${holder} does not declare that it holds personal data`);
      const { data } = await client.exportPersonalData({ service: holder, userId }, { signal });
      return data;
    },
  };
}
