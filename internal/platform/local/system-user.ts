import { SetupError } from "./setup-error.ts";

/** An account of the operating system, which a server runs as. */
export interface SystemUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Name of the account that PostgreSQL runs as when we are root, which PostgreSQL itself refuses to be. */
const postgresUserName = "postgres";

/**
 * The account that PostgreSQL must run as: `undefined` for a normal user (it runs as that user), the system account
 * "postgres" for root, made on first use.
 */
export function postgresUser(): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const known = lookUp(postgresUserName);
  if (known !== undefined) return known;
  const made = Bun.spawnSync(
    ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", postgresUserName],
    { stdout: "ignore", stderr: "pipe", env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } },
  );
  const user = lookUp(postgresUserName);
  if (user !== undefined) return user;
  throw new SetupError(
    `PostgreSQL does not run as root, and the system user "${postgresUserName}" could not be made: ` +
      `${made.stderr.toString().trim()}. Make it (useradd --system ${postgresUserName}) or start as a normal user.`,
  );
}

function lookUp(name: string): SystemUser | undefined {
  const result = Bun.spawnSync(["getent", "passwd", name], { stdout: "pipe", stderr: "ignore" });
  const [, , uid, gid] = result.stdout.toString().trim().split(":");
  return uid === undefined || gid === undefined ? undefined : { name, uid: Number(uid), gid: Number(gid) };
}
