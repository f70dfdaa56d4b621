import { secret, Secret, text } from "../../../internal/platform/config/fields.ts";

/** Settings of the command line itself. Empty means: not given. */
export const cliConfig = {
  url: text("URL", {
    doc: "HTTP address of the Muin to talk to. Default: the one on the local data folder.",
    default: "",
  }),
  apiKey: secret("API_KEY", {
    doc: "Key to talk to it with. Default: the operator key in the local data folder, for the Muin that runs there.",
    default: new Secret(""),
  }),
  caFile: text("CA_FILE", {
    doc: "Certificates in PEM of who signed Muin's. Default: the system's, and the one that the Muin on the local data folder made.",
    default: "",
  }),
  dataDir: text("DATA_DIR", {
    doc: "Data folder. Default: muin in XDG_DATA_HOME or ~/.local/share; for root /var/lib/muin.",
    default: "",
  }),
  faceEmbedder: text("FACE_EMBEDDER", {
    doc: "Folder whose node_modules has what faces embed runs. Default: fetched once into muin in XDG_CACHE_HOME or ~/.cache.",
    default: "",
  }),
} as const;
