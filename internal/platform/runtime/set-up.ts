import { readConfig, type Environment } from "../config/read-config.ts";
import { partsOf, type SetupLine } from "../service/parts.ts";
import type { DataFolder } from "../local/data-folder.ts";
import type { ComposedService } from "./compose-service.ts";

/**
 * Runs the setup of every service that has one, in order, and keeps the secrets that they made, and no others. Returns what whoever started the
 * installation is shown. Rejects when a setup does, or two keep a secret of one name.
 */
export async function setUp(
  services: readonly Pick<ComposedService, "info" | "parts">[],
  {
    env,
    folder,
  }: {
    readonly env: Environment;
    readonly folder: Pick<DataFolder, "credentialsFile" | "readCredentials" | "saveCredentials">;
  },
): Promise<readonly SetupLine[]> {
  const kept = (await folder.readCredentials()) ?? {};
  const keep = new Map<string, string>();
  const shown: SetupLine[] = [];
  for (const { info, parts } of services) {
    for (const setup of partsOf(parts, "setup")) {
      const made = await setup.run({
        config: readConfig(info.name, setup.config, env),
        kept,
        keptIn: folder.credentialsFile,
      });
      for (const [name, value] of Object.entries(made.keep)) {
        if (keep.has(name)) throw new Error(`${info.name} keeps a secret "${name}", which another service keeps`);
        keep.set(name, value);
      }
      shown.push(...made.show);
    }
  }
  const isSame = keep.size === Object.keys(kept).length && [...keep].every(([name, value]) => kept[name] === value);
  if (!isSame) await folder.saveCredentials(Object.fromEntries(keep));
  return shown;
}
