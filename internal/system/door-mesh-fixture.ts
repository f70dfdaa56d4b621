import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { catalog } from "../catalog.ts";
import { AuthService } from "../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../gen/muin/identity/v1/credential_service_pb.ts";
import { ServiceTokenService } from "../gen/muin/identity/v1/service_token_service_pb.ts";
import { connectClient } from "../platform/testing/muin.ts";
import { startMesh, type TestMesh } from "../platform/testing/mesh.ts";
import { openMailbox, signUp } from "../platform/testing/sign-up.ts";
import type { Site } from "./door-fixture.ts";
import { makeOperatorKey, startInstance, type Instance } from "./mesh-fixture.ts";

/** A Muin of many processes, with a door. */
export interface DoorMesh extends Site, AsyncDisposable {
  readonly mesh: TestMesh;
  /** The process of a service. */
  instance(service: string): Instance;
  /** Starts another process of a service; it ends with the rest, and nobody else is told where it is. Resolves when it is ready. */
  startOther(service: string, env: Readonly<Record<string, string>>): Promise<Instance>;
}

const settings: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  auth: { MUIN_SIGN_UP: "open" },
  // What comes from one device here is as much as comes from many.
  access: { MUIN_ACCESS_ATTEMPTS_PER_MINUTE_MAX: "100000", MUIN_ACCESS_DENIALS_MAX: "10000" },
};

/** Starts a process of each of these services; resolves when all are ready. */
export async function startDoorMesh(
  services: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<DoorMesh> {
  const mesh = await startMesh(catalog);
  const instances = new Map<string, Instance>();
  const further: Instance[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all([...instances.values(), ...further].map((instance) => instance.kill()));
    await mesh[Symbol.asyncDispose]();
  };
  const start = async (service: string): Promise<void> => {
    const instance = await startInstance(mesh, service, "first", { ...settings[service], ...env });
    instances.set(service, instance);
    await instance.isReady();
  };
  try {
    await start("auth");
    const key = await makeOperatorKey(mesh);
    const urlOf = ({ typeName }: DescService): string => {
      const serving = mesh.topology.services.find(({ rpcServices }) =>
        rpcServices.some(({ name }) => name === typeName),
      );
      return mesh.url(serving?.name ?? "auth");
    };
    const client: Site["client"] = (service, as = key) => connectClient(service, urlOf(service), as);
    const anybody = <S extends DescService>(service: S): Client<S> => connectClient(service, urlOf(service), undefined);
    const others = services.filter((service) => service !== "auth");
    const tokens = client(ServiceTokenService);
    for (const serviceName of others) {
      await writeFile(mesh.secretFile(serviceName), (await tokens.issueBootstrapSecret({ serviceName })).secret);
    }
    await Promise.all(others.map(start));
    const mailbox = openMailbox(join(mesh.folder.path, "mail"));
    return {
      mesh,
      client,
      urlOf,
      signUp: (account) =>
        signUp(account, { auth: anybody(AuthService), credentials: anybody(CredentialService), mailbox }),
      instance: (service) => {
        const found = instances.get(service);
        if (found === undefined) throw new Error(`${service} was not started`);
        return found;
      },
      startOther: async (service, more) => {
        const instance = await startInstance(mesh, service, "other", { ...settings[service], ...env, ...more });
        further.push(instance);
        await instance.isReady();
        return instance;
      },
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
