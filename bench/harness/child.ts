/** Time for a child to be ready. */
const readyMsMax = 20_000;
/** Time for a child to answer, unless it is given another. */
const answerMsMaxDefault = 60_000;

/** A Bun process of the bench's own, so that its CPU stands apart. */
export interface Child<Message, Reply> {
  readonly pid: number;
  /** What it said when it was ready. */
  readonly greeting: string;
  /** Asks one thing at a time. Rejects when the child fails, ends, or has not answered after `answerMsMax` (default one minute). */
  ask(message: Message, answerMsMax?: number): Promise<Reply>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** What a child does. */
export interface Served<Message, Reply> {
  readonly greeting: string;
  answer(message: Message): Promise<Reply>;
  close(): Promise<void>;
}

type Told<Reply> =
  | { readonly kind: "ready"; readonly greeting: string }
  | { readonly kind: "reply"; readonly reply: Reply }
  | { readonly kind: "failed"; readonly error: string };

/** Starts `script`, a file that calls `serveChild`, with `options`; resolves when it is ready. */
export async function startChild<Message, Reply>(script: string, options: object): Promise<Child<Message, Reply>> {
  let waiting = Promise.withResolvers<Told<Reply>>();
  const child = Bun.spawn([process.execPath, script, JSON.stringify(options)], {
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
    serialization: "json",
    ipc: (told: Told<Reply>) => waiting.resolve(told),
  });
  void child.exited.then((code) => waiting.resolve({ kind: "failed", error: `${script} ended with code ${code}` }));
  const late = setTimeout(() => waiting.resolve({ kind: "failed", error: `${script} is not ready` }), readyMsMax);
  const first = await waiting.promise;
  clearTimeout(late);
  if (first.kind !== "ready") {
    child.kill("SIGKILL");
    throw new Error(first.kind === "failed" ? first.error : `${script} spoke before it was asked`);
  }
  return {
    pid: child.pid,
    greeting: first.greeting,
    ask: async (message, answerMsMax = answerMsMaxDefault) => {
      if (child.exitCode !== null) throw new Error(`${script} has ended`);
      waiting = Promise.withResolvers<Told<Reply>>();
      const { promise, resolve } = waiting;
      const timer = setTimeout(() => resolve({ kind: "failed", error: `${script} does not answer` }), answerMsMax);
      child.send({ message });
      const told = await promise;
      clearTimeout(timer);
      if (told.kind !== "reply") throw new Error(told.kind === "failed" ? told.error : `${script} did not reply`);
      return told.reply;
    },
    close: async () => {
      if (child.exitCode === null) child.send("close");
      await child.exited;
    },
  };
}

/** The other side, in the child: opens what it serves with the options of the command line and answers until it is closed. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- Says what the command line holds.
export async function serveChild<Options, Message, Reply>(
  open: (options: Options) => Promise<Served<Message, Reply>>,
): Promise<void> {
  const tell = (told: Told<Reply>): void => {
    process.send?.(told);
  };
  const failed = (error: unknown): void =>
    tell({ kind: "failed", error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  try {
    const served = await open(JSON.parse(process.argv[2] ?? "{}") as Options);
    const end = async (): Promise<void> => {
      await served.close();
      process.exit(0);
    };
    process.on("message", (got: "close" | { readonly message: Message }) => {
      if (got === "close") end().catch(() => process.exit(1));
      else served.answer(got.message).then((reply) => tell({ kind: "reply", reply }), failed);
    });
    process.on("disconnect", () => process.exit(1)); // The bench is gone.
    tell({ kind: "ready", greeting: served.greeting });
  } catch (error) {
    failed(error);
  }
}
