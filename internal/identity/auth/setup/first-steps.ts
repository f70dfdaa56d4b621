import type { Random } from "../../../platform/clock/random.ts";
import { Secret, secret, text } from "../../../platform/config/fields.ts";
import type { SetupContext, SetupResult } from "../../../platform/service/parts.ts";
import { operatorScopes, type AuthSetup } from "./rules.ts";

/** 144 bits: a password nobody guesses. */
const passwordBytes = 18;

const demoScopes = ["counts.read", "counts.write", "counts.manage"] as const;

/** Settings of the first start: of the whole installation, so `MUIN_<NAME>`. */
export const setupConfig = {
  adminEmail: {
    ...text("ADMIN_EMAIL", { doc: "Address of the first administrator.", default: "admin@localhost" }),
    isShared: true,
  },
  adminPassword: {
    ...secret("ADMIN_PASSWORD", {
      doc: "Password of the first administrator. Default: a random one, shown once.",
      default: new Secret(""),
    }),
    isShared: true,
  },
} as const;

/**
 * Makes the first administrator and the keys of the installation, as far as they are missing: `api_key`, the demo key for counting,
 * and `operator_key`, which holds every scope, for the command line.
 */
export async function takeFirstSteps(
  setup: AuthSetup,
  { config, kept }: SetupContext<typeof setupConfig>,
  random: Random,
): Promise<SetupResult> {
  const email = config.adminEmail;
  const password = config.adminPassword.reveal() || Buffer.from(random.bytes(passwordBytes)).toString("base64url");
  const isNew = await setup.ensureAdministrator({ email, password });
  const demo = await setup.ensureApiKey({ name: "demo", scopes: demoScopes, kept: kept["api_key"] });
  const operator = await setup.ensureApiKey({
    name: "operator",
    scopes: operatorScopes,
    kept: kept["operator_key"],
  });
  return {
    keep: { api_key: demo.secret, operator_key: operator.secret },
    show: [
      {
        title: "admin",
        text: isNew ? `${email}  password ${password}  (shown once)` : email,
        json: { admin: { email, ...(isNew ? { password } : {}) } },
      },
      { title: "API key", text: demo.secret, json: { api_key: demo.secret } },
    ],
  };
}
