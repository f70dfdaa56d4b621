import { backoffMs } from "../clock/backoff.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { Component } from "../lifecycle/component.ts";
import { timeout } from "../lifecycle/timeout.ts";
import type { Logger } from "../telemetry/logger.ts";
import { boundServerLog, logLength, logTail, openServerLog } from "./server-log.ts";
import type { SystemUser } from "./system-user.ts";

/** First pause before a server that ended is started again; it doubles up to the second figure. */
const restartBackoff = { minMs: 100, maxMs: 5000 };
/** A server that answered for so long has recovered: its next end starts the pauses anew. */
const healthyMsMin = 10_000;
/** A server that never answered is started so often before the start is given up. */
const firstStartsMax = 5;
/** Time for the first answer in one start, or for the next sign of progress. */
const firstAnswerMsMax = 120_000;
/** So often it is said that a server still makes progress and does not answer yet. */
const progressLogMs = 60_000;
/** Pause between two questions whether it answers. */
const probeMs = 25;
/** Time for one answer. */
const probeMsMax = 15_000;
/** How often the length of the log is looked at. */
const logCheckMs = 30_000;
/** Lines of the log that say why a server ended. */
const reasonLines = 4;

/** What to run, and how. */
export interface ProcessPlan {
  readonly argv: readonly string[];
  /** Working directory: a folder of this server alone, by which an orphaned process of it is found. */
  readonly folder: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Account to run as; `undefined`: ours. */
  readonly user: SystemUser | undefined;
}

/** How a process is supervised. */
export interface SupervisedProcessOptions {
  readonly name: string;
  /** Called before every start; the server has answered before if `again`. */
  readonly prepare: (again: boolean) => Promise<ProcessPlan>;
  /** Resolves when the server answers, rejects when it does not. */
  readonly probe: () => Promise<void>;
  /** Whether `probe` rejected since the server still makes progress, such as loading its data: then it is waited for. Default: never. */
  readonly isProgress?: (error: unknown) => boolean;
  /** The server's output goes here. */
  readonly logFile: string;
  /** Sent one after the other, each with `stopMsMax` to take effect; then SIGKILL. */
  readonly stopSignals: readonly NodeJS.Signals[];
  readonly stopMsMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** How a supervised process is. */
export interface ProcessStatus {
  /** "restarting": it ended by itself and is being started again. */
  readonly state: "stopped" | "starting" | "running" | "restarting";
  /** `undefined` while there is none. */
  readonly pid: number | undefined;
  /** How often it ended by itself since it was first started. */
  readonly restarts: number;
  /** Why it ended last, in its own words; `undefined` if it never did. */
  readonly lastError: string | undefined;
}

/** A process that is kept running. */
export interface SupervisedProcess extends Component {
  status(): ProcessStatus;
  /** Asks the process to end and does not wait: for when ours must exit at once. */
  abandon(): void;
}

/**
 * Keeps a server running: `start` resolves at its first answer, or rejects when it ended in several starts; whenever it ends
 * afterwards it is started again, after growing pauses with jitter, until `stop`. The process has a session of its own, so that Ctrl-C in
 * the terminal reaches us alone and the server is stopped in its turn.
 */
export function createSupervisedProcess(options: SupervisedProcessOptions): SupervisedProcess {
  const { name, clock, random, log } = options;
  const stopping = new AbortController();
  let state: ProcessStatus["state"] = "stopped";
  let child: Bun.Subprocess | undefined;
  let restarts = 0;
  let lastError: string | undefined;
  let life: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;

  /** One start: resolves when the process has ended, with the reason and for how long it answered. */
  const runOnce = async (again: boolean, onReady: () => void): Promise<{ reason: string; healthyMs: number }> => {
    const plan = await options.prepare(again);
    const logStart = await logLength(options.logFile);
    const output = await openServerLog(options.logFile);
    let current: Bun.Subprocess;
    try {
      stopping.signal.throwIfAborted(); // Nothing may be awaited from here until `child` is known: a stop ends what it knows.
      child = current = Bun.spawn([...plan.argv], {
        cwd: plan.folder,
        env: plan.env,
        stdin: "ignore",
        stdout: output.fd,
        stderr: output.fd,
        detached: true,
        ...(plan.user === undefined ? {} : { uid: plan.user.uid, gid: plan.user.gid }),
      });
    } finally {
      await output.close();
    }
    let readyAt: number | undefined;
    try {
      const answered = await untilAnswer(current, again);
      if (answered) {
        readyAt = clock.monotonic();
        state = "running";
        onReady();
      }
      await current.exited;
    } finally {
      child = undefined;
    }
    const how = current.signalCode === null ? `exit code ${current.exitCode}` : `signal ${current.signalCode}`;
    const tail = await logTail(options.logFile, logStart, reasonLines);
    return {
      reason: tail === "" ? how : `${how}: ${tail}`,
      healthyMs: readyAt === undefined ? 0 : clock.monotonic() - readyAt,
    };
  };

  /** False when the process ended before it answered. Ends one that in its first start neither answers nor makes progress. */
  const untilAnswer = async (current: Bun.Subprocess, again: boolean): Promise<boolean> => {
    let endAt = clock.monotonic() + firstAnswerMsMax;
    let saidAt = clock.monotonic();
    while (!hasEnded(current) && !stopping.signal.aborted) {
      try {
        await probeOnce(current);
        if (!hasEnded(current)) return true;
      } catch (error) {
        if (options.isProgress?.(error) === true) {
          endAt = clock.monotonic() + firstAnswerMsMax;
          if (clock.monotonic() - saidAt >= progressLogMs) {
            saidAt = clock.monotonic();
            log.warn(`${name} is not ready yet and makes progress`, { err: error });
          }
        } else if (!again && clock.monotonic() > endAt) {
          log.error(`${name} does not answer`, { err: error });
          current.kill("SIGKILL");
          return false;
        }
      }
      await Promise.race([clock.sleep(probeMs), current.exited]);
    }
    return false;
  };

  /** One question: rejects when the process ends or lets us wait. */
  const probeOnce = async (current: Bun.Subprocess): Promise<void> => {
    await timeout(clock, probeMsMax, Promise.race([options.probe(), current.exited.then(noAnswer)]));
  };

  const keepRunning = async (onReady: () => void, onGivenUp: (error: Error) => void): Promise<void> => {
    let answeredOnce = false;
    let failures = 0;
    for (let starts = 1; !stopping.signal.aborted; starts += 1) {
      let healthyMs = 0;
      try {
        const end = await runOnce(answeredOnce, () => {
          answeredOnce = true;
          onReady();
        });
        lastError = end.reason;
        healthyMs = end.healthyMs;
      } catch (error) {
        lastError = error instanceof Error ? error.message : String(error);
      }
      if (stopping.signal.aborted) break;
      if (!answeredOnce && starts >= firstStartsMax) {
        onGivenUp(new Error(`${name} does not start: ${lastError}`));
        break;
      }
      if (answeredOnce) {
        restarts += 1;
        state = "restarting";
      }
      failures = healthyMs >= healthyMsMin ? 1 : failures + 1;
      const pauseMs = backoffMs(restartBackoff, failures, random);
      log.warn(`${name} ended and is started again`, { reason: lastError, restarts, pauseMs: Math.round(pauseMs) });
      await clock.sleep(pauseMs, stopping.signal).catch(() => undefined); // Rejects only when we stop, which the loop sees.
    }
    state = "stopped";
  };

  const end = async (current: Bun.Subprocess): Promise<void> => {
    current.kill("SIGCONT"); // A process that was halted would not see the next signal.
    for (const signal of options.stopSignals) {
      current.kill(signal);
      await timeout(clock, options.stopMsMax, current.exited).catch(() => undefined); // Too late: the next signal.
      if (hasEnded(current)) return;
      log.warn(`${name} did not end in time`, { signal, stopMsMax: options.stopMsMax });
    }
    current.kill("SIGKILL");
    await current.exited;
  };

  return {
    name,
    abandon: () => {
      const [signal] = options.stopSignals;
      if (signal !== undefined) child?.kill(signal);
    },
    status: () => ({ state, pid: child?.pid, restarts, lastError }),
    start: () => {
      if (stopping.signal.aborted) return Promise.reject(new Error(`${name} was stopped`));
      state = "starting";
      const first = Promise.withResolvers<void>();
      const running = keepRunning(first.resolve, first.reject);
      const watching = boundLog(options, stopping.signal);
      life = Promise.all([running, watching]).then(() => undefined);
      void running.then(() => first.reject(new Error(`${name} was stopped while it started`)));
      return first.promise;
    },
    stop: () =>
      (stopped ??= (async () => {
        stopping.abort(new Error(`${name} is being stopped`));
        if (child !== undefined) await end(child);
        await life;
        state = "stopped";
      })()),
  };
}

/** Keeps the log of a server within its bound until `signal` is aborted. */
async function boundLog({ name, logFile, clock, log }: SupervisedProcessOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await boundServerLog(logFile).catch((error: unknown) => {
      log.warn(`the log of ${name} could not be shortened`, { err: error });
    });
    await clock.sleep(logCheckMs, signal).catch(() => undefined); // Rejects only when we stop, which the loop sees.
  }
}

function noAnswer(): never {
  throw new Error("no answer");
}

function hasEnded(child: Bun.Subprocess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
