import { quantiseRow, strideOf } from "./quantise.ts";
import { pageBytes, pageLayout, type ScanMemory } from "./scan-memory.ts";
import type { Scan } from "./scan-pages.ts";

/** Templates in whole numbers, each in a slot, in pages of a memory that is scanned. */
export interface Slots {
  /** Writes a template into a free slot. `undefined`: there is no room. The template has as many numbers as were said, not all of them zero. */
  write(template: Float32Array): number | undefined;
  /** Frees a slot: a scan that begins after it does not find it. */
  drop(slot: number): void;
  /** What a scan needs to know; one for as many as it has `rows` finds all. */
  layout(): Pick<Scan, "pages" | "rows" | "stride">;
  /** Largest error and length of any row that was ever in it (`quantise.ts`). */
  readonly errors: { readonly errorMax: number; readonly lengthMax: number };
  /** Of the pages. */
  readonly bytes: number;
  /** Gives the pages back. No slot may be used any more. */
  free(): void;
}

/** Makes slots for templates of so many numbers. */
export function createSlots(memory: ScanMemory, dimensions: number): Slots {
  const stride = strideOf(dimensions);
  const { rows: pageRows, head } = pageLayout(stride);
  const pages: number[] = [];
  const free: number[] = [];
  const errors = { errorMax: 0, lengthMax: 0 };
  let rows = 0;

  const pageOf = (slot: number): number => pages[Math.floor(slot / pageRows)] as number;
  /** Place of a slot's scale among the numbers of the memory. */
  const scaleOf = (slot: number): number => pageOf(slot) / Float32Array.BYTES_PER_ELEMENT + (slot % pageRows);
  const take = (): number | undefined => {
    const slot = free.pop();
    if (slot !== undefined) return slot;
    if (rows === pages.length * pageRows) {
      const page = memory.take();
      if (page === undefined) return undefined;
      pages.push(page);
    }
    return rows++;
  };

  return {
    write: (template) => {
      const slot = take();
      if (slot === undefined) return undefined;
      const { int8, float32 } = memory.bytes();
      float32[scaleOf(slot)] = Number.NaN; // Half a row has no score.
      const begin = pageOf(slot) + head + (slot % pageRows) * stride;
      const { scale, error, length } = quantiseRow(template, int8.subarray(begin, begin + stride));
      errors.errorMax = Math.max(errors.errorMax, error);
      errors.lengthMax = Math.max(errors.lengthMax, length);
      float32[scaleOf(slot)] = scale;
      return slot;
    },
    drop: (slot) => {
      memory.bytes().float32[scaleOf(slot)] = Number.NaN;
      free.push(slot);
    },
    layout: () => ({ pages: [...pages], rows, stride }),
    errors,
    get bytes() {
      return pages.length * pageBytes;
    },
    free: () => {
      memory.give(pages);
      pages.length = 0;
    },
  };
}
