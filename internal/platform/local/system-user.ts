import { SetupError } from "./setup-error.ts";

/** An account of the operating system, which a server runs as. */
export interface SystemUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Name of the account that PostgreSQL runs as when we are root, which PostgreSQL itself refuses to be. */
const postgresUserName = "postgres";
/** Name of the account that Muin goes on as when it is started as root. */
const ownUserName = "muin";

/**
 * The account that PostgreSQL must run as: `undefined` for a normal user (it runs as that user), the system account
 * "postgres" for root, made on first use.
 */
export function postgresUser(): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  return madeAccount(postgresUserName, "PostgreSQL does not run as root");
}

/** The account that root's Muin goes on as: the one named, or, for an empty name, "muin", made on first use. */
export function ownUser(name: string): SystemUser {
  if (name === "") return madeAccount(ownUserName, "Muin does not run as root, unless MUIN_USER is root");
  const user = lookUp(name);
  if (user === undefined) throw new SetupError(`MUIN_USER is "${name}", and there is no such user on this machine.`);
  return user;
}

/** The system account of that name, made if there is none. */
function madeAccount(name: string, why: string): SystemUser {
  const known = lookUp(name);
  if (known !== undefined) return known;
  const made = Bun.spawnSync(
    ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name],
    { stdout: "ignore", stderr: "pipe", env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } },
  );
  const user = lookUp(name);
  if (user !== undefined) return user;
  throw new SetupError(
    `${why}, and the system user "${name}" could not be made: ${made.stderr.toString().trim()}. ` +
      `Make it (useradd --system ${name}) or start as a normal user.`,
  );
}

function lookUp(name: string): SystemUser | undefined {
  const result = Bun.spawnSync(["getent", "passwd", name], { stdout: "pipe", stderr: "ignore" });
  const [, , uid, gid] = result.stdout.toString().trim().split(":");
  return uid === undefined || gid === undefined ? undefined : { name, uid: Number(uid), gid: Number(gid) };
}
