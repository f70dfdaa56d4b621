import { oneOf, type ConfigField } from "../config/fields.ts";
import { isLoopback } from "../tls/exposure.ts";

const words = ["invite", "closed", "open"] as const;

/** Who gets an account: `MUIN_SIGN_UP`. A process gives auth what follows from where it listens when nobody said otherwise. */
export const signUpField: ConfigField<(typeof words)[number]> = {
  ...oneOf("SIGN_UP", words, {
    doc: 'Who gets an account: those who are invited, nobody new, or everybody who verifies their address. Default: "open" on a loopback address with neither a proxy nor trusted hops, else "invite".',
    default: "invite",
  }),
  isShared: true,
};

/** What the setting is where nobody gave it: people sign up uninvited only where nobody but this machine can call. */
export function signUpWhere(listens: {
  readonly host: string;
  readonly behindProxy: boolean;
  readonly trustedHops: number;
}): (typeof words)[number] {
  const isAlone = isLoopback(listens.host) && !listens.behindProxy && listens.trustedHops === 0;
  return isAlone ? "open" : "invite";
}
