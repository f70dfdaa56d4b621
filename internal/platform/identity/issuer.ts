import { text, type ConfigField } from "../config/fields.ts";

/** Who issues tokens: auth writes it into each, every process demands it. */
export const issuerField: ConfigField<string> = {
  ...text("ISSUER", { doc: "Issuer (iss) of tokens; the same in every process of an installation.", default: "muin" }),
  isShared: true,
};
