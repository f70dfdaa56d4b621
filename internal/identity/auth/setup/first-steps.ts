import type { Random } from "../../../platform/clock/random.ts";
import { Secret, secret, text } from "../../../platform/config/fields.ts";
import type { SetupContext, SetupResult } from "../../../platform/service/parts.ts";
import { operatorScopes, type AuthSetup } from "./rules.ts";

/** 144 bits: a password nobody guesses. */
const passwordBytes = 18;

const demoLifeMs = 30 * 86_400_000;
const demoScopes = ["counts.read", "counts.write", "counts.manage"] as const;

/** Settings of the first start: of the whole installation, so `MUIN_<NAME>`. */
export const setupConfig = {
  adminEmail: {
    ...text("ADMIN_EMAIL", { doc: "Address of the first administrator.", default: "admin@localhost" }),
    isShared: true,
  },
  adminPassword: {
    ...secret("ADMIN_PASSWORD", {
      doc: "Password of the first administrator. Default: a random one, which a terminal is shown once and credentials.json keeps.",
      default: new Secret(""),
    }),
    isShared: true,
  },
} as const;

/**
 * Makes the first administrator and `operator_key`, the key with every scope for the command line, as far as they are missing. With the
 * administrator, at the first start alone, comes `api_key`, a demo key for counting that ends after 30 days.
 */
export async function takeFirstSteps(
  setup: AuthSetup,
  { config, kept, keptIn }: SetupContext<typeof setupConfig>,
  random: Random,
): Promise<SetupResult> {
  const email = config.adminEmail;
  const given = config.adminPassword.reveal();
  const password = given || Buffer.from(random.bytes(passwordBytes)).toString("base64url");
  const isFirst = await setup.ensureAdministrator({ email, password });
  const demo = isFirst
    ? await setup.makeApiKey({ name: "demo", scopes: demoScopes, lifeMs: demoLifeMs })
    : await liveOf(setup, kept["api_key"]);
  const operator = await setup.ensureApiKey({ name: "operator", scopes: operatorScopes, kept: kept["operator_key"] });
  const made = isFirst && given === "" ? password : kept["admin_password"];
  return {
    keep: {
      operator_key: operator.secret,
      ...(demo === undefined ? {} : { api_key: demo }),
      ...(made === undefined ? {} : { admin_password: made }),
    },
    show: [
      isFirst
        ? {
            title: "admin",
            text: `${email}  password ${password}  (shown once)`,
            textForLog: `${email}  password ${given === "" ? `"admin_password" in ${keptIn}` : "as MUIN_ADMIN_PASSWORD says"}`,
            json: { admin: { email, password } },
          }
        : { title: "admin", text: email, json: { admin: { email } } },
      demo === undefined
        ? { title: "API key", text: "none: muin keys create NAME --scope counts.read --scope counts.write", json: {} }
        : { title: "API key", text: demo, textForLog: `"api_key" in ${keptIn}`, json: { api_key: demo } },
    ],
  };
}

/** The secret, as long as its key is live. */
async function liveOf(setup: AuthSetup, secret: string | undefined): Promise<string | undefined> {
  return secret !== undefined && (await setup.isLive(secret)) ? secret : undefined;
}
