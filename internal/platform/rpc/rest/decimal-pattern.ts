/**
 * A regular expression, in the common part of ECMA-262 and RE2, for the decimal texts of the whole numbers from `min` to `max`, both
 * included. Leading zeros are admitted, as protobuf JSON admits them.
 */
export function decimalPattern(min: bigint, max: bigint): string {
  return `^${wholeNumbers(min, max)}$`;
}

/** The same without its anchors, as one group. */
export function wholeNumbers(min: bigint, max: bigint): string {
  if (min === -max) return `-?0*${choice(0n, max)}`;
  const signed = [
    ...(max >= 0n ? [`0*${choice(min > 0n ? min : 0n, max)}`] : []),
    ...(min < 0n ? [`-0*${choice(max < 0n ? -max : 1n, -min)}`] : []),
  ];
  return signed.length === 1 ? signed[0]! : `(${signed.join("|")})`;
}

/** The numbers from `min` to `max`, none negative, without leading zeros. */
function choice(min: bigint, max: bigint): string {
  const found: string[] = [];
  const lengthMax = String(max).length;
  for (let length = String(min).length; length <= lengthMax; length += 1) {
    const least = length === 1 ? 0n : 10n ** BigInt(length - 1);
    const most = 10n ** BigInt(length) - 1n;
    found.push(...ofOneLength(String(min > least ? min : least), String(max < most ? max : most)));
  }
  return found.length === 1 ? found[0]! : `(${merged(found).join("|")})`;
}

/** The numbers from `min` to `max`, which have as many digits. */
function ofOneLength(min: string, max: string): string[] {
  if (min === "") return [""];
  const [first, last] = [Number(min[0]), Number(max[0])];
  const [minRest, maxRest] = [min.slice(1), max.slice(1)];
  if (first === last) return led(first, ofOneLength(minRest, maxRest));
  const isWholeBelow = /^0*$/.test(minRest);
  const isWholeAbove = /^9*$/.test(maxRest);
  const [from, to] = [isWholeBelow ? first : first + 1, isWholeAbove ? last : last - 1];
  const digits = from === to ? String(from) : `[${from}-${to}]`;
  return [
    ...(isWholeBelow ? [] : led(first, ofOneLength(minRest, "9".repeat(minRest.length)))),
    ...(from > to ? [] : [`${digits}${any(minRest.length, minRest.length)}`]),
    ...(isWholeAbove ? [] : led(last, ofOneLength("0".repeat(maxRest.length), maxRest))),
  ];
}

function led(digit: number, rests: readonly string[]): string[] {
  return rests.map((rest) => `${digit}${rest}`);
}

/** So many digits of any kind. */
function any(min: number, max: number): string {
  if (max === 0) return "";
  if (min === max) return min === 1 ? "[0-9]" : `[0-9]{${min}}`;
  return `[0-9]{${min},${max}}`;
}

/** All numbers of several lengths in one. */
function merged(found: readonly string[]): readonly string[] {
  const full = /^\[1-9\](?:\[0-9\](?:\{(\d+)\})?)?$/;
  const lengths = found.flatMap((each) => {
    const match = full.exec(each);
    return match === null ? [] : [Number(match[1] ?? (each === "[1-9]" ? 0 : 1))];
  });
  if (lengths.length < 2) return found;
  return [`[1-9]${any(Math.min(...lengths), Math.max(...lengths))}`, ...found.filter((each) => !full.test(each))];
}
