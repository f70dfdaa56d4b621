/** Digits behind which a number is written with an exponent. */
const plainDigitsMax = 64;

const numberText = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/**
 * A reviver for `JSON.parse` by which numbers that are not the same never become one: a number that a double does not hold exactly as it
 * is written becomes its digits as a text. 1.10 and 1.1 are the same number; 100000000000000000000.5 and …0.4 are two.
 */
export function exactNumber(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source;
  if (typeof value !== "number" || source === undefined) return value;
  if (/^-?\d{1,15}$/.test(source)) return value; // Nearly always.
  const written = decimalOf(source);
  return written === decimalOf(String(value)) ? value : written;
}

/** A decimal number in its one form: plain digits, or digits and an exponent where it is long. */
function decimalOf(text: string): string {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = numberText.exec(text) ?? [];
  const digits = `${whole}${fraction}`.replace(/^0+/, "");
  const significant = withoutZeros(digits);
  if (significant === "") return text === "Infinity" || text === "-Infinity" ? text : "0";
  const power = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length);
  if (power > plainDigitsMax || power < -plainDigitsMax) return `${sign}${significant}e${power}`;
  const shift = Number(power);
  if (shift >= 0) return `${sign}${significant}${"0".repeat(shift)}`;
  const padded = significant.padStart(1 - shift, "0");
  return `${sign}${padded.slice(0, shift)}.${padded.slice(shift)}`;
}

/** Digits without the zeros at their end. */
function withoutZeros(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === "0") end--;
  return digits.slice(0, end);
}
