import manifest from "../../../package.json" with { type: "json" };

/** Version of Muin, from package.json. */
export const version: string = manifest.version;
