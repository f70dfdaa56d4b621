import { parentPort, type Transferable } from "node:worker_threads";

/** Answers whoever started the thread. What is in `transfer` belongs to them afterwards. */
export type Post<Out> = (message: Out, transfer?: readonly Transferable[]) => void;

/**
 * Takes the messages of whoever started this thread, in order: called once, by the thread's module. What it throws ends the thread. Throws
 * where no thread runs.
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what is cloned from thread to thread has the type that both say
export function takeMessages<In, Out>(take: (message: In, post: Post<Out>) => void): void {
  const port = parentPort;
  if (port === null) throw new Error("this is no thread");
  port.on("message", (message: In) =>
    take(message, (answer, transfer = []) => port.postMessage(answer, [...transfer])),
  );
}
