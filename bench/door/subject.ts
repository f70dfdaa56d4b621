import type { Latency } from "../harness/latency.ts";
import type { Processes } from "../harness/processes.ts";

/** What is asked of a subject. */
export interface Load {
  /** Faces in the gallery that is looked in. */
  readonly faces: number;
  /** Calls per second in open loop. `undefined`: one after the other. */
  readonly ratePerS: number | undefined;
  readonly windowMs: number;
}

/** What came of it. */
export interface Answers {
  readonly latencyMs: Latency;
  /** Calls that were answered. */
  readonly calls: number;
  /** Of them, those with the face of somebody who is enrolled and to be recognised; and those who were. */
  readonly known: number;
  readonly recognised: number;
  /** Decisions that are not those of the exact comparison. */
  readonly wrong: number;
  /** Calls that were not answered, by what was said. */
  readonly refused: Readonly<Record<string, number>>;
}

/** Something that says whose a face is. */
export interface Subject {
  /** What of it takes time and memory, by the name that a row shows. */
  processes(): Promise<Processes>;
  run(load: Load): Promise<Answers>;
  close(): Promise<void>;
}
