const begin = /^(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2}))?|$)/;

/**
 * Whether the day at the beginning of an ISO 8601 text exists, and the time of day where there is one: no 30 February, no 24:00, no
 * 23:59:60. Parsers of the platform take those for another day. `false` for what begins with no day.
 */
export function isOnCalendar(text: string): boolean {
  const parts = begin.exec(text);
  if (parts === null) return false;
  const [year, month, day, hour, minute, second] = parts.slice(1).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return day >= 1 && day <= daysIn(year, month) && hour <= 23 && minute <= 59 && second <= 59;
}

/** Days of a month, 1 to 12, in the Gregorian calendar; 0 of what is no month. */
function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] ?? 0;
}
