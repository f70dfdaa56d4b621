/** Units of the suffixes that settings have, largest first. */
const units: Readonly<Record<string, readonly (readonly [name: string, size: number])[]>> = {
  MS: [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["min", 60_000],
    ["s", 1000],
  ],
  BYTES: [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 1024],
  ],
};

/** The value of a setting in the largest unit that divides it, such as "30 d"; `undefined` where that would not be plainer. */
export function readableAmount(variable: string, value: string): string | undefined {
  const suffix = /_(MS|BYTES)(?:_MIN|_MAX)?$/.exec(variable)?.[1];
  const amount = Number(value);
  if (suffix === undefined || !Number.isSafeInteger(amount) || amount === 0) return undefined;
  const unit = units[suffix]?.find(([, size]) => amount % size === 0);
  return unit === undefined ? undefined : `${amount / unit[1]} ${unit[0]}`;
}
