import type { DescMethod } from "@bufbuild/protobuf";
import { PersonalDataService } from "../../gen/muin/platform/v1/personal_data_service_pb.ts";
import { authCalls } from "../identity/auth-client.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { methodsOf } from "../service/rpcs.ts";

/** An RPC that the platform calls in a service's name, which no declaration therefore names. */
interface PlatformCall {
  readonly method: DescMethod;
  /** Whether it does so for this service. */
  readonly isFor: (info: ServiceInfo) => boolean;
}

/** All that the platform calls in the name of services: every process tells who calls it, and the collector asks all holders. */
const platformCalls: readonly PlatformCall[] = [
  ...authCalls.map((method) => ({ method, isFor: () => true })),
  {
    method: PersonalDataService.method.exportPersonalData,
    isFor: ({ personalData }) => personalData === "collected",
  },
];

/** Names of the services that may call a method. */
export type ServiceCallers = (method: DescMethod) => ReadonlySet<string>;

/**
 * Derives who may call what from the declarations, and from what the platform calls for them. `processName` is that of a process
 * that runs several services: what the platform calls for all of them, it calls in that name.
 */
export function serviceCallersOf(catalog: readonly ServiceInfo[], processName?: string): ServiceCallers {
  const callers = new Map<string, Set<string>>();
  const allow = (method: DescMethod, name: string): void => {
    const path = pathOf(method);
    const known = callers.get(path);
    if (known === undefined) callers.set(path, new Set([name]));
    else known.add(name);
  };
  for (const info of catalog) {
    for (const declared of Object.values(info.calls)) {
      for (const method of methodsOf(declared)) allow(method, info.name);
    }
    for (const { method, isFor } of platformCalls) if (isFor(info)) allow(method, info.name);
  }
  if (processName !== undefined) {
    for (const { method, isFor } of platformCalls) if (catalog.every(isFor)) allow(method, processName);
  }
  return (method) => callers.get(pathOf(method)) ?? nobody;
}

const nobody: ReadonlySet<string> = new Set();

/** Names a method, whichever copy of its descriptor it is. */
function pathOf(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}
