import { type MuinSubject, startMuinSubject } from "./muin-subject.ts";
import { type RedisSubjects, startRedisSubjects } from "./redis-subject.ts";

/** All that rows load. */
export interface World extends AsyncDisposable {
  readonly muin: MuinSubject;
  /** Relay and consumer in a process of their own. */
  readonly outside: RedisSubjects;
  /** Relay and consumer in the writer's process. */
  readonly inside: RedisSubjects;
  /** For scripts, bodies and logs. */
  readonly folder: string;
  /** Counts that exist. */
  readonly counts: number;
}

/** What is started. */
export interface WorldOptions {
  /** Counts to create in each store. */
  readonly counts: number;
  readonly muinEnv: Readonly<Record<string, string>>;
  /** Whether the generic server is started. */
  readonly generic: boolean;
  /** Program of the peer in Go; absent: it is not started. */
  readonly goPeer?: string | undefined;
}

/** Starts Muin, the peers and their stores; what was started before something failed is stopped. */
export async function openWorld(folder: string, options: WorldOptions): Promise<World> {
  const { counts, muinEnv, generic, goPeer } = options;
  await using started = new AsyncDisposableStack();
  const outside = await startRedisSubjects(counts, { relayInside: false, generic, goPeer });
  started.defer(() => outside.close());
  const inside = await startRedisSubjects(counts, { relayInside: true, generic: false });
  started.defer(() => inside.close());
  const muin = await startMuinSubject(counts, muinEnv);
  started.defer(() => muin.close());
  const kept = started.move();
  return { muin, outside, inside, folder, counts, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
