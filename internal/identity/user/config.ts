import { int, text, type ConfigField } from "../../platform/config/fields.ts";

const servicesMax = 16;
const serviceName = /^[a-z][a-z0-9-]{0,31}$/;

/** Names of services, joined by commas, each once. */
function services(name: string, options: { readonly doc: string; readonly default: string }): ConfigField<string> {
  const field = text(name, options);
  return {
    ...field,
    accepts: `names of 1 to ${servicesMax} services, joined by commas`,
    parse: (value) => {
      const names = value.split(",");
      const isList = names.every((each) => serviceName.test(each)) && new Set(names).size === names.length;
      return isList && names.length <= servicesMax ? value : undefined;
    },
  };
}

/** Settings of user, `MUIN_USER_<NAME>`. */
export const userConfig = {
  erasureServices: services("ERASURE_SERVICES", {
    doc: "Services that hold data of people: each confirms that it has erased its own before the key of a deleted person's data is destroyed. Counts for deletions that begin from then on.",
    default: "auth,branch-owner",
  }),
  erasureSweepMs: int("ERASURE_SWEEP_MS", {
    doc: "Pause between two looks for deletions whose last step is due: the destruction of the key.",
    default: 500,
    min: 50,
    max: 600_000,
  }),
} as const;
