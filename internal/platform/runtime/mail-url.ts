import { readConfig, variableOf, type Environment } from "../config/read-config.ts";
import { mailUrlField } from "../mail/mail-config.ts";
import { checkUrls } from "../tls/remote-urls.ts";

/** Throws `ConfigError` for a mail server that others stand between and that could be reached without TLS, unless that is said to be meant. */
export function checkMailUrl(env: Environment, { insecure }: { readonly insecure: boolean }): void {
  const variable = variableOf("", mailUrlField.name);
  if (env[variable] === undefined && env[`${variable}_FILE`] === undefined) return;
  const { url } = readConfig("", { url: mailUrlField }, env);
  checkUrls([{ variable, url }], { insecure, caVariable: "", caFile: "", nowMs: 0 });
}
