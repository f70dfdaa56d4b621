import { chown, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PostgresBinaries } from "./postgres-binaries.ts";

/** Environment of PostgreSQL's programs: no variable of ours, our secrets included, reaches them. */
export const postgresEnv = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C", TZ: "UTC" } as const;

/** The superuser of every cluster. */
export const postgresAdmin = "postgres";

/**
 * Makes a cluster in the folder `folder`/data: UTF-8, the built-in C.UTF-8 order (the same on every machine and after every
 * update of the operating system), times in UTC, SCRAM passwords for every connection. `folder` must belong to the account
 * that PostgreSQL runs as. `extra` are further arguments of initdb.
 */
export async function initCluster(
  binaries: PostgresBinaries,
  folder: string,
  password: string,
  extra: readonly string[] = [],
): Promise<void> {
  const passwordFile = join(folder, "initdb-password");
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  try {
    if (binaries.user !== undefined) await chown(passwordFile, binaries.user.uid, binaries.user.gid);
    const child = Bun.spawn(
      [
        binaries.initdb,
        `--pgdata=${join(folder, "data")}`,
        `--username=${postgresAdmin}`,
        `--pwfile=${passwordFile}`,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--no-instructions",
        ...extra,
      ],
      {
        cwd: folder,
        env: postgresEnv,
        stdin: "ignore",
        stdout: "ignore",
        stderr: "pipe",
        ...(binaries.user === undefined ? {} : { uid: binaries.user.uid, gid: binaries.user.gid }),
      },
    );
    const errors = await new Response(child.stderr).text();
    if ((await child.exited) !== 0) throw new Error(`initdb failed: ${errors.trim()}`);
  } finally {
    await rm(passwordFile, { force: true });
  }
}
