import { readConfig, type Environment } from "../config/read-config.ts";
import { partsOf, type SetupLine } from "../service/parts.ts";
import type { DataFolder } from "../local/data-folder.ts";
import type { ComposedService } from "./compose-service.ts";

/**
 * Runs the setup of every service that has one, in order, and keeps the secrets that they made. Returns what whoever started the
 * installation is shown. Rejects when a setup does, or two keep a secret of one name.
 */
export async function setUp(
  services: readonly Pick<ComposedService, "info" | "parts">[],
  {
    env,
    folder,
  }: { readonly env: Environment; readonly folder: Pick<DataFolder, "readCredentials" | "saveCredentials"> },
): Promise<readonly SetupLine[]> {
  const kept = (await folder.readCredentials()) ?? {};
  const keep = new Map<string, string>();
  const shown: SetupLine[] = [];
  for (const { info, parts } of services) {
    for (const setup of partsOf(parts, "setup")) {
      const made = await setup.run({ config: readConfig(info.name, setup.config, env), kept });
      for (const [name, value] of Object.entries(made.keep)) {
        if (keep.has(name)) throw new Error(`${info.name} keeps a secret "${name}", which another service keeps`);
        keep.set(name, value);
      }
      shown.push(...made.show);
    }
  }
  const isNew = [...keep].some(([name, value]) => kept[name] !== value);
  if (isNew) await folder.saveCredentials(Object.fromEntries(keep));
  return shown;
}
