import { expect, test } from "bun:test";
import { isOnCalendar } from "./calendar.ts";

test.each([
  ["2026-11-30", true],
  ["2026-11-31", false],
  ["2026-02-28T23:59:59Z", true],
  ["2026-02-29", false],
  ["2028-02-29T00:00:00+09:00", true],
  ["2000-02-29", true],
  ["1900-02-29", false],
  ["2026-02-30T00:00:00Z", false],
  ["2027-02-29T00:00:00Z", false],
  ["2027-01-01T24:00:00Z", false],
  ["2027-01-01T23:60Z", false],
  ["2026-12-31T23:59:60Z", false],
  ["2026-00-01", false],
  ["2026-13-01", false],
  ["2026-01-00", false],
  ["2026-01-32", false],
  ["2026-1-1", false],
  ["tomorrow", false],
])("%p is on the calendar: %p", (text, is) => {
  expect(isOnCalendar(text)).toBe(is);
});
