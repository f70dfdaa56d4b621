import { int } from "../../platform/config/fields.ts";
import { templateConfig } from "../shared/template-config.ts";
import { snapshotSettings } from "./snapshot/settings.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const mebibyte = 1024 * 1024;

/** Settings of access, `MUIN_ACCESS_<NAME>`. */
export const accessConfig = {
  ...templateConfig,
  ...snapshotSettings,
  stayMs: int("STAY_MS", {
    doc: "How long somebody whom a door let in counts as inside, in milliseconds, unless their going out is recorded.",
    default: 3 * hourMs,
    min: minuteMs,
    max: 24 * hourMs,
  }),
  presentationScoreMinPercent: int("PRESENTATION_SCORE_MIN_PERCENT", {
    doc: "Least presentation-attack score of a device, in percent, with which a face is taken to be no picture or mask.",
    default: 50,
    min: 1,
    max: 100,
  }),
  attemptsPerMinuteMax: int("ATTEMPTS_PER_MINUTE_MAX", {
    doc: "Attempts of one device that are taken in a minute.",
    default: 120,
    min: 1,
    max: 100_000,
  }),
  embeddingsPerDeviceMax: int("EMBEDDINGS_PER_DEVICE_MAX", {
    doc: "Embeddings of one device that are remembered, for 24 hours each, so that none is taken twice; more are refused. At least as many as may come in a day.",
    default: 200_000,
    min: 100,
    max: 10_000_000,
  }),
  denialsMax: int("DENIALS_MAX", {
    doc: "Denials of strangers within the window, after which a device is locked out.",
    default: 30,
    min: 1,
    max: 10_000,
  }),
  denialsWindowMs: int("DENIALS_WINDOW_MS", {
    doc: "Within how long denials count together towards a device's lock-out, in milliseconds.",
    default: minuteMs,
    min: 1000,
    max: 24 * hourMs,
  }),
  lockoutMs: int("LOCKOUT_MS", {
    doc: "How long a device is locked out, in milliseconds.",
    default: minuteMs,
    min: 1000,
    max: 24 * hourMs,
  }),
  queueBytesMax: int("QUEUE_BYTES_MAX", {
    doc: "Bytes of entries that wait on disk for the database; beyond, doors stay closed with ENTRY_QUEUE_FULL.",
    default: 1024 * mebibyte,
    min: mebibyte,
    max: 1024 * 1024 * mebibyte,
  }),
  entryRetentionDays: int("ENTRY_RETENTION_DAYS", {
    doc: "How long entries are kept, in days.",
    default: 90,
    min: 1,
    max: 3650,
  }),
};
