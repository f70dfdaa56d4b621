/** A page of rows, in bytes: as large as WebAssembly's own. */
export const pageBytes = 65_536;
/** Addresses have 32 bits. */
const pagesMax = 65_536;
/** Where a page begins the rows: behind the scales, aligned. */
const alignBytes = 16;

/** Most faces that one scan finds. */
export const foundMax = 32_768;
/** The query's numbers: as many as a template has at most, in two bytes each. */
const queryBytes = 4096;
/** What a scan works with beside the rows: the query, then scores and slots of what it found. */
const scratchPages = Math.ceil((queryBytes + foundMax * 8) / pageBytes);

/** Who scans: each has a place of its own to work in. */
export type ScanPlace = "here" | "thread";

/** Memory that is common to the event loop, which writes rows, and the thread that scans them. */
export interface ScanMemory {
  readonly memory: WebAssembly.Memory;
  /** The address of a page that nobody uses, or `undefined` when there is no room. */
  take(): number | undefined;
  /** Gives pages back. A scan that is under way may still read them: what it finds there is of no use. */
  give(addresses: readonly number[]): void;
  /** All of it as it is now. Valid until the next `take`. */
  bytes(): { readonly int8: Int8Array; readonly float32: Float32Array };
}

/** How rows of so many places lie in a page: first a float32 scale for each, then the rows. */
export interface PageLayout {
  readonly stride: number;
  readonly rows: number;
  /** Bytes before the first row. */
  readonly head: number;
}

/** The layout for rows of `stride` places, a multiple of 32. */
export function pageLayout(stride: number): PageLayout {
  const rows = Math.floor((pageBytes - alignBytes) / (stride + 4));
  return { stride, rows, head: Math.ceil((rows * 4) / alignBytes) * alignBytes };
}

/** Where the query and what is found lie, in bytes from the beginning. */
export function scratchOf(place: ScanPlace): { readonly query: number; readonly found: number } {
  const begin = place === "here" ? 0 : scratchPages * pageBytes;
  return { query: begin, found: begin + queryBytes };
}

/** Makes memory that grows as it is used, for at most `bytesMax` bytes of rows. */
export function createScanMemory(bytesMax: number): ScanMemory {
  const first = 2 * scratchPages;
  const most = Math.min(pagesMax, first + Math.max(1, Math.floor(bytesMax / pageBytes)));
  const memory = new WebAssembly.Memory({ initial: first, maximum: most, shared: true });
  const free: number[] = [];
  let pages = first;
  let views: ReturnType<ScanMemory["bytes"]> | undefined;
  return {
    memory,
    take: () => {
      const given = free.pop();
      if (given !== undefined) return given;
      if (pages >= most) return undefined;
      // Few at a time: whoever holds the memory is told of each growth.
      const more = Math.min(most - pages, growPages);
      memory.grow(more);
      views = undefined;
      for (let page = pages + more - 1; page > pages; page -= 1) free.push(page * pageBytes);
      pages += more;
      return (pages - more) * pageBytes;
    },
    give: (addresses) => free.push(...addresses),
    bytes: () => (views ??= { int8: new Int8Array(memory.buffer), float32: new Float32Array(memory.buffer) }),
  };
}

/** By how many pages the memory grows. */
const growPages = 16;
