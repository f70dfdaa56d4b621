import { Secret, secret, type ConfigField } from "../../platform/config/fields.ts";

/** A secret shorter than this could be guessed. */
const secretCharsMin = 32;

/** Settings of the secrets that templates are turned by: of the whole installation, since doors turn as enrolments do. */
export const templateConfig = {
  templateSecret: {
    ...longSecret(
      secret("FACE_TEMPLATE_SECRET", {
        doc: "Turns embeddings into the templates that the face Redis holds: without it they match nothing. Keep it apart from that store. Losing it loses all enrolments.",
      }),
    ),
    isShared: true,
  },
  formerTemplateSecret: {
    ...longSecret(
      secret("FACE_TEMPLATE_SECRET_FORMER", {
        doc: "The template secret before the present one, by which galleries are read until they are renewed. Default: none.",
        default: new Secret(""),
      }),
    ),
    isShared: true,
  },
} as const;

/** The former secret; `undefined` when there is none. */
export function formerSecret({ formerTemplateSecret }: { readonly formerTemplateSecret: Secret }): Secret | undefined {
  return formerTemplateSecret.reveal() === "" ? undefined : formerTemplateSecret;
}

/** A secret long enough to derive keys from. */
function longSecret(field: ConfigField<Secret>): ConfigField<Secret> {
  return {
    ...field,
    accepts: `secret text of ${secretCharsMin} to 4096 characters`,
    parse: (value) => (value.length >= secretCharsMin ? field.parse(value) : undefined),
  };
}
