/** What a row loads. */
export type SubjectName =
  | "store"
  | "store 1"
  | "store 2"
  | "store own thread"
  | "snapshot"
  | "hedged"
  | "scan"
  | "approximate"
  | "javascript"
  | "faiss"
  | "rpc";

/** One row: a subject under a load. */
export interface Row {
  /** Such as "hedged/20000/200". */
  readonly id: string;
  readonly title: string;
  /** Rows that take turns. */
  readonly series: string;
  readonly subject: SubjectName;
  readonly faces: number;
  /** `undefined`: one call after the other. */
  readonly ratePerS: number | undefined;
  /** Whether each decision must be that of the exact comparison. */
  readonly isExact: boolean;
  /** Whether a quick run has it. */
  readonly quick: boolean;
}

const titles: Readonly<Record<SubjectName, string>> = {
  store: "Redis, exact (VSIM TRUTH), 4 connections",
  "store 1": "the same, 1 connection",
  "store 2": "the same, 2 connections",
  "store own thread": "the same, 4 connections, NOTHREAD",
  snapshot: "snapshot",
  hedged: "hedged: Redis, after 5 ms the snapshot too",
  scan: "snapshot's scan alone, on one thread",
  approximate: "Redis, approximate (VSIM EF 100)",
  javascript: "plain JavaScript loop",
  faiss: "faiss-cpu IndexFlatIP, one thread",
  rpc: "Identify over Connect, signed, in a running Muin",
};

/** Calls per second. */
const slow = 50;
const usual = 200;
const fast = 1000;
/** A gallery of at most so many faces is asked fast too. */
const fastFacesMax = 1000;
/** The most that a plain loop compares in a second, in faces, without falling behind. */
const plainFacesPerSMax = 1_100_000;

/** All rows for galleries of these sizes. */
export function listRows(sizes: readonly number[]): readonly Row[] {
  const smallest = Math.min(...sizes);
  const largest = Math.max(...sizes);
  const rows: Row[] = [];
  const add = (subject: SubjectName, series: string, faces: number, ratePerS: number | undefined): void => {
    rows.push({
      id: `${subject}/${faces}/${ratePerS ?? "alone"}`,
      title: titles[subject],
      series,
      subject,
      faces,
      ratePerS,
      isExact: subject !== "approximate",
      quick: faces === smallest && ratePerS !== slow,
    });
  };
  for (const faces of sizes) {
    for (const ratePerS of faces <= fastFacesMax ? [slow, usual, fast] : [slow, usual]) {
      const series = `${faces} faces, ${ratePerS}/s`;
      for (const subject of ["store", "snapshot", "hedged", "rpc"] as const) add(subject, series, faces, ratePerS);
      if (faces * ratePerS <= plainFacesPerSMax) add("javascript", series, faces, ratePerS);
      if (ratePerS !== slow)
        for (const subject of ["approximate", "faiss"] as const) add(subject, series, faces, ratePerS);
    }
    for (const subject of ["scan", "faiss"] as const) add(subject, `${faces} faces, scans alone`, faces, undefined);
  }
  for (const subject of ["store 1", "store 2", "store own thread"] as const)
    add(subject, `${largest} faces, ${usual}/s`, largest, usual);
  return rows;
}
