import { int } from "../../../platform/config/fields.ts";

/** The settings of access's snapshots. */
export const snapshotSettings = {
  snapshotBytesMax: int("SNAPSHOT_BYTES_MAX", {
    doc: "Most memory that the copies of branches' faces take, in bytes: about 3 KB for each face of 512 numbers. The branches that were used last stay.",
    default: 512 * 1024 * 1024,
    min: 1024 * 1024,
    max: 4 * 1024 * 1024 * 1024,
  }),
  snapshotAgeMsMax: int("SNAPSHOT_AGE_MAX_MS", {
    doc: "How long an instance that is cut off from the face store decides by its copies, in milliseconds. The longest that somebody could pass who was erased or suspended meanwhile; the receipt of an erasure waits for it. 0: it never does.",
    default: 900_000,
    max: 86_400_000,
  }),
  hedgeAfterMs: int("HEDGE_AFTER_MS", {
    doc: "How long the face store may take before the instance's own copy is asked too, in milliseconds.",
    default: 5,
    max: 1000,
  }),
  scansWaitingMax: int("SCANS_WAITING_MAX", {
    doc: "Most searches of copies that wait for others; more are refused with RESOURCE_EXHAUSTED.",
    default: 64,
    min: 1,
    max: 4096,
  }),
};
