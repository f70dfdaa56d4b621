import type { Processes } from "../harness/processes.ts";

/** What is loaded: a server or a write path, with its store. */
export interface Subject {
  /** Its processes, by the name that a row shows; asked for before each window. */
  processes(): Promise<Processes>;
  /** Sum of the values of all Counts, read from the store itself or through the service, never from a cache. */
  stored(): Promise<number>;
  /** Entries of the outbox; `undefined` for a subject that has none. */
  readonly outboxDepth: (() => Promise<number>) | undefined;
  /** Calls that the server finished since it started, by code; `undefined` for a subject that is no server of RPCs. */
  readonly finished: (() => Promise<Readonly<Record<string, number>>>) | undefined;
  /** Whether every event has reached a consumer once: undefined, or what is wrong. Asked at the end. */
  verify(): Promise<string | undefined>;
  close(): Promise<void>;
}
