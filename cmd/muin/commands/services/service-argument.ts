import { Failure } from "../../terminal/failure.ts";

/** The service that a command is about. */
export const serviceArgument = { help: "name of the service, as muin graph shows it" } as const;

/** The name, if a service of Muin has it: auth would give a secret to any name. Throws a failure that names the services otherwise. */
export async function knownService(name: string): Promise<string> {
  // Loaded when asked for: most commands need no service.
  const { catalog } = await import("../../../../internal/catalog.ts");
  const names = catalog.map((service) => service.name);
  if (!names.includes(name))
    throw new Failure("notFound", `there is no service ${name}; there are ${names.join(", ")}`);
  return name;
}
