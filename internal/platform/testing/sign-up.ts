import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { AuthService, SignUpRequestSchema, TokenPair } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import type { CredentialService } from "../../gen/muin/identity/v1/credential_service_pb.ts";
import { eventually } from "./eventually.ts";

/** Room for all that tests sign up, and ask for without credentials, from one network; who tests the limits gives others. */
export const roomForSignUps: Readonly<Record<string, string>> = {
  MUIN_AUTH_SIGN_UPS_PER_NETWORK_MAX: "1000000",
  MUIN_AUTH_MAILS_PER_NETWORK_MAX: "1000000",
  MUIN_AUTH_MAILS_MAX: "1000000",
  MUIN_STRANGER_REQUESTS_PER_S: "1000000",
};

/** Mails that became files. */
export interface Mailbox {
  /** The token of the newest mail to an address with a subject, once there is one that was not given out before. */
  token(to: string, subject: string): Promise<string>;
}

/** Somebody who has signed up and verified their address. */
export interface SignedUp {
  readonly userId: string;
  readonly tokens: TokenPair;
}

/** The mails in a folder, which may come to be later. */
export function openMailbox(folder: string): Mailbox {
  const read = new Map<string, { readonly text: string; readonly token: string }>();
  const given = new Set<string>();
  const look = async (): Promise<void> => {
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter((each) => each.endsWith(".eml") && !read.has(each))) {
      const text = await Bun.file(join(folder, name)).text();
      read.set(name, { text, token: /^([A-Za-z0-9_-]{43})\r$/m.exec(text)?.[1] ?? "" });
    }
  };
  return {
    token: (to, subject) =>
      eventually(async () => {
        await look();
        const newestFirst = [...read].toSorted(([a], [b]) => (a < b ? 1 : -1)).map(([, mail]) => mail);
        const found = newestFirst.find(
          ({ text, token }) =>
            text.includes(`To: ${to}\r\n`) &&
            text.includes(`Subject: ${subject}\r\n`) &&
            token !== "" &&
            !given.has(token),
        );
        if (found === undefined) throw new Error(`there is no such mail to ${to}`);
        given.add(found.token);
        return found.token;
      }),
  };
}

/** Signs somebody up and verifies their address by the mail. */
export async function signUp(
  account: MessageInitShape<typeof SignUpRequestSchema> & { readonly email: string },
  {
    auth,
    credentials,
    mailbox,
  }: {
    readonly auth: Pick<Client<typeof AuthService>, "signUp">;
    readonly credentials: Pick<Client<typeof CredentialService>, "verifyEmail">;
    readonly mailbox: Mailbox;
  },
): Promise<SignedUp> {
  await auth.signUp(account);
  const token = await mailbox.token(account.email, "Verify your e-mail address");
  const { userId, tokens } = await credentials.verifyEmail({ token });
  if (tokens === undefined) throw new Error(`${account.email} has no session`);
  return { userId, tokens };
}
