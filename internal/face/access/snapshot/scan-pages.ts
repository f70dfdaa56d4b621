import { foundMax, pageLayout, scratchOf, type ScanPlace } from "./scan-memory.ts";
import { scanModule } from "./scan-module.ts";

/** What to look for, and where. */
export interface Scan {
  /** Addresses of the gallery's pages. */
  readonly pages: readonly number[];
  /** Rows in them, counted from the first page's first. */
  readonly rows: number;
  /** Places of a row, a multiple of 32. */
  readonly stride: number;
  /** The query, as many numbers as a row has places. */
  readonly values: Int16Array;
  /** How many to find, at most `foundMax`. */
  readonly k: number;
}

/** The rows with the highest scores, in no order. */
export interface Found {
  /** Fewer than were asked for when there are no more rows. */
  readonly slots: Int32Array;
  /** No row that was not found has a higher score. -Infinity: there is none. */
  readonly floor: number;
}

/** Scans pages of a memory, one scan at a time. */
export type ScanPages = (scan: Scan) => Found;

interface ScanExports {
  scan(
    rows: number,
    scales: number,
    count: number,
    stride: number,
    query: number,
    heap: number,
    k: number,
    slot: number,
  ): void;
}

/** Makes what scans, working at a place of its own in the memory. */
export function createScanPages(memory: WebAssembly.Memory, place: ScanPlace): ScanPages {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(scanModule()), { shared: { memory } });
  const exports = instance.exports as unknown as ScanExports;
  const { query, found } = scratchOf(place);
  return ({ pages, rows, stride, values, k }) => {
    if (k > foundMax) throw new RangeError(`a scan finds at most ${foundMax} faces`);
    const layout = pageLayout(stride);
    new Int16Array(memory.buffer, query, values.length).set(values);
    const scores = new Float32Array(memory.buffer, found, k).fill(-Infinity);
    let slot = 0;
    for (const page of pages) {
      const count = Math.min(layout.rows, rows - slot);
      if (count <= 0) break;
      exports.scan(page + layout.head, page, count, stride, query, found, k, slot);
      slot += count;
    }
    const slots = new Int32Array(memory.buffer, found + 4 * k, k);
    const floor = scores[0] as number;
    return { slots: slots.filter((_, at) => (scores[at] as number) > -Infinity), floor };
  };
}
