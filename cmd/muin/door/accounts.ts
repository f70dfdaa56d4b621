import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { AccountService } from "../../../internal/gen/muin/identity/v1/account_service_pb.ts";
import { AuthService } from "../../../internal/gen/muin/identity/v1/auth_service_pb.ts";
import { UserService } from "../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import type { Remote } from "../remote/remote-command.ts";
import { Failure } from "../terminal/failure.ts";
import { onceKnown } from "./once-known.ts";

/** How long a mail may take to become a file, in milliseconds. */
const mailMsMax = 30_000;
const mailPollMs = 50;
const passwordBytes = 24;

/** What makes accounts: the Muin, and where its mails become files. */
export interface AccountsDeps extends Pick<Remote, "client" | "clock" | "random" | "signal" | "repeat"> {
  /** Folder of the mails; `undefined`: they go elsewhere. */
  readonly mailFolder: string | undefined;
}

/** Somebody made up who has an account. */
export interface MadePerson {
  readonly userId: string;
  /** Whether this run made the account. */
  readonly isNew: boolean;
}

/** Address of a made-up person: no mail reaches it (RFC 2606). */
function addressOf(seed: number, person: number): string {
  return `walker-${seed}-${person}@door.example`;
}

/** The account of a made-up person: the one there is from an earlier run, or a new one, by an invitation that is accepted at once. */
export async function accountOf(seed: number, person: number, deps: AccountsDeps): Promise<MadePerson> {
  const { client, random, repeat } = deps;
  const email = addressOf(seed, person);
  const { users } = await client(UserService).listUsers({ email, pageSize: 1 });
  const known = users[0];
  if (known !== undefined) return { userId: known.userId, isNew: false };
  const { mailFolder } = deps;
  if (mailFolder === undefined) {
    throw new Failure(
      "usage",
      "people are made up by invitations whose mails are read from the data folder: run this on the machine of a Muin that was started by muin up",
    );
  }
  const request = { email, requestId: random.uuid() };
  const earlier = new Set(await mailsIn(mailFolder));
  await repeat(() => client(AccountService).inviteUser(request));
  const token = await tokenTo(email, { folder: mailFolder, earlier }, deps);
  const password = Buffer.from(random.bytes(passwordBytes)).toString("base64url"); // Nobody will sign in.
  const accepted = await client(AuthService).acceptInvitation({ token, password, displayName: `Walker ${person}` });
  const membership = { plan: "standard" };
  const give = () => client(UserService).setMembership({ userId: accepted.userId, membership });
  await onceKnown(give, deps);
  return { userId: accepted.userId, isNew: true };
}

/** The token in the mail to an address that came after the earlier ones: it stands on a line of its own. */
async function tokenTo(
  email: string,
  { folder, earlier }: { readonly folder: string; readonly earlier: ReadonlySet<string> },
  { clock, signal }: AccountsDeps,
): Promise<string> {
  const untilMs = clock.monotonic() + mailMsMax;
  const toOthers = new Set(earlier);
  for (;;) {
    for (const name of await mailsIn(folder)) {
      if (toOthers.has(name)) continue;
      const text = await Bun.file(join(folder, name)).text();
      const to = /^To: (.*)\r$/m.exec(text)?.[1]; // Absent while it is written.
      const token = /^([A-Za-z0-9_-]{43})\r$/m.exec(text)?.[1];
      if (to === email && token !== undefined) return token;
      if (to !== undefined && to !== email) toOthers.add(name);
    }
    if (clock.monotonic() > untilMs) throw new Failure("failed", `no mail to ${email} came to ${folder}`);
    await clock.sleep(mailPollMs, signal);
  }
}

/** The mails that are in a folder, which is made with the first. */
async function mailsIn(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch((): readonly string[] => []);
  return names.filter((name) => name.endsWith(".eml"));
}
