import { int } from "../../platform/config/fields.ts";

/** Settings of count-read. */
export const countReadConfig = {
  infoLifeMs: int("INFO_LIFE_MS", {
    doc: "How long cached metadata is used before it is read again: a lost event heals within three times this.",
    default: 5000,
    min: 100,
    max: 60_000,
  }),
  cachedCountsMax: int("CACHED_COUNTS_MAX", {
    doc: "Counts whose values and metadata are kept in memory.",
    default: 50_000,
    min: 1,
    max: 10_000_000,
  }),
  sideStoreTimeoutMs: int("SIDE_STORE_TIMEOUT_MS", {
    doc: "How long a replica or the cache may take to answer before the read goes on without it.",
    default: 100,
    min: 1,
    max: 10_000,
  }),
};
