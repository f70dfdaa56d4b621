import { basename } from "node:path";
import { Worker, type Transferable } from "node:worker_threads";

/** Where a compiled binary keeps its modules. */
const binaryRoot = "/$bunfs/root";

/** A thread beside the event loop, for work that would hold up the calls. */
export interface Thread<In> {
  /** Gives it a message, in order. What is in `transfer` belongs to the thread afterwards; a SharedArrayBuffer stays common to both. */
  post(message: In, transfer?: readonly Transferable[]): void;
  /** Resolves when it has ended because it was stopped; rejects when it ended by itself, with why. */
  readonly ended: Promise<void>;
  /** Ends it at once, whatever it does. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts a thread that runs the module `new URL("./<name>-thread.ts", import.meta.url)`; `told` gets what it posts, see `takeMessages`. The
 * module's file name must be its own in all sources, and end in `-thread.ts`: so it is found in a compiled binary too, of which every such
 * file is a part. A thread does not keep the process from ending.
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what is cloned from thread to thread has the type that both say
export function startThread<In, Out>(module: URL, told: (message: Out) => void): Thread<In> {
  const worker = new Worker(placeOf(module), { name: basename(module.pathname, ".ts") });
  const ended = Promise.withResolvers<void>();
  ended.promise.catch(() => undefined); // Whoever does not wait for it finds out by what it does not answer.
  let isStopped = false;
  worker.on("message", told);
  worker.on("error", (error) => ended.reject(error));
  worker.on("exit", (code) => {
    if (isStopped) ended.resolve();
    else ended.reject(new Error(`the thread ${basename(module.pathname)} ended by itself, with code ${code}`));
  });
  worker.unref(); // Each listener above holds the process again.
  return {
    post: (message, transfer = []) => worker.postMessage(message, [...transfer]),
    ended: ended.promise,
    stop: async () => {
      isStopped = true;
      await worker.terminate();
      ended.resolve();
    },
  };
}

/** In a binary all code lies in one file: the module has been compiled beside it, under its own name. */
function placeOf(module: URL): URL | string {
  const isCompiled = module.pathname.startsWith(`${binaryRoot}/`) || import.meta.dir.startsWith(binaryRoot);
  return isCompiled ? `${binaryRoot}/${basename(module.pathname, ".ts")}.js` : module;
}
