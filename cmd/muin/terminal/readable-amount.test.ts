import { expect, test } from "bun:test";
import { readableAmount } from "./readable-amount.ts";

test.each([
  ["MUIN_AUTH_SESSION_LIFE_MS", "15552000000", "180 d"],
  ["MUIN_COUNT_WRITE_REQUEST_WINDOW_MS", "600000", "10 min"],
  ["MUIN_COUNTS_OUTBOX_BYTES_MAX", "268435456", "256 MiB"],
  ["MUIN_DRAIN_MS", "0", undefined],
  ["MUIN_DRAIN_MS", "1500", undefined],
  ["MUIN_DRAIN_MS", "[redacted]", undefined],
  ["MUIN_HTTP_PORT", "8080", undefined],
])("%s %s is %p", (variable, value, expected) => {
  expect(readableAmount(variable, value)).toBe(expected);
});
