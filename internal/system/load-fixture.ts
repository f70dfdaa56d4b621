import { expect } from "bun:test";
import { fromJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { CountCheckState, CountManagementService } from "../gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../gen/muin/count/v1/count_read_service_pb.ts";
import { CountsChangedSchema } from "../gen/muin/count/v1/count_value_events_pb.ts";
import { CountWriteService } from "../gen/muin/count/v1/count_write_service_pb.ts";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { OperationsService } from "../gen/muin/platform/v1/operations_service_pb.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { connectClient } from "../platform/testing/muin.ts";

/** Where a load goes. */
export interface LoadTarget {
  readonly http: string;
  readonly operatorKey: string;
}

/** Increments under way, each with a request id and repeated until it is acknowledged. */
export interface Load {
  /** Resolves once so many increments more than now have been acknowledged. */
  progress(more: number): Promise<void>;
  /** Acknowledged increments. */
  acknowledged(): number;
  /** How many calls failed, by code and reason. */
  failures(): ReadonlyMap<string, number>;
  /** Begins nothing more; resolves when every increment that began has been acknowledged. */
  finish(): Promise<void>;
  /** Checks that what was acknowledged is what is stored and what the events add up to, nothing lost and nothing twice. */
  verify(target?: LoadTarget): Promise<void>;
  /** Takes an acknowledged increment for one that never was, and the other way round: for showing that `verify` notices. */
  tamper(acknowledgements: -1 | 1): void;
}

interface Acknowledged {
  readonly delta: bigint;
  readonly revision: bigint;
  readonly requestId: string;
}

/** One call may take so long unless told otherwise; then it is repeated. */
const callMsDefault = 10_000;
/** One increment may be repeated, and what follows from the acknowledged ones waited for, so long. */
const patienceMs = 30_000;
const countsMax = 12;
const deltaMax = 9;

/** Refusals that no repetition changes. */
const final: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.PermissionDenied,
  Code.Unauthenticated,
]);

/** Begins a load on new Counts whose ids begin with `prefix`. Its choices follow from a seed, which is printed. */
export async function startLoad(
  target: LoadTarget,
  options: { readonly prefix: string; readonly callers: number; readonly readers?: number; readonly callMs?: number },
): Promise<Load> {
  const { prefix, callMs = callMsDefault } = options;
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  console.log(`load on ${prefix}*: seed ${seed}`);
  const random = randomOf(seed);
  const write = connectClient(CountWriteService, target.http, target.operatorKey);
  const read = connectClient(CountReadService, target.http, target.operatorKey);
  const management = connectClient(CountManagementService, target.http, target.operatorKey);
  const counts = Array.from({ length: countsMax }, (_, index) => `${prefix}${index}`);
  for (const countId of counts) await management.createCount({ countId });

  const acknowledged = new Map<string, Acknowledged[]>(counts.map((countId) => [countId, []]));
  const newest = new Map<string, bigint>();
  const failures = new Map<string, number>();
  let total = 0;
  const finishing = new AbortController();
  const failed = (thrown: unknown): ConnectError => {
    const error = ConnectError.from(thrown);
    const name = `${Code[error.code]} ${error.findDetails(ErrorInfoSchema)[0]?.reason ?? ""}`.trim();
    failures.set(name, (failures.get(name) ?? 0) + 1);
    return error;
  };
  const pick = (): string => counts[Math.floor(random() * counts.length)] ?? prefix;

  const increment = async (): Promise<void> => {
    const countId = pick();
    const delta = BigInt(1 + Math.floor(random() * deltaMax));
    const requestId = crypto.randomUUID();
    const endAt = performance.now() + patienceMs;
    for (;;) {
      try {
        // The server's answer when the time is up is waited for, however late a busy machine brings it.
        const { value } = await write.increment(
          { countId, delta, requestId },
          { headers: { "connect-timeout-ms": `${callMs}` }, signal: AbortSignal.timeout(3 * callMs) },
        );
        if (value === undefined) throw new Error("an acknowledgement without a value");
        acknowledged.get(countId)?.push({ delta, revision: value.revision, requestId });
        if (value.value > (newest.get(countId) ?? 0n)) newest.set(countId, value.value);
        total += 1;
        return;
      } catch (thrown) {
        const error = failed(thrown);
        if (final.has(error.code) || performance.now() > endAt) throw error;
        await Bun.sleep(20); // A refused connection fails at once: without a pause the callers would spin.
      }
    }
  };
  const readBack = async (): Promise<void> => {
    const countId = pick();
    const least = newest.get(countId) ?? 0n;
    let value: bigint;
    try {
      const { count } = await read.getCount({ countId, maxStaleness: {} }, { timeoutMs: callMs });
      value = count?.value?.value ?? 0n;
    } catch (thrown) {
      if (final.has(failed(thrown).code)) throw thrown;
      await Bun.sleep(20); // As above.
      return;
    }
    if (value < least) throw new Error(`${countId} was read as ${value} after ${least} had been acknowledged`);
  };
  const loop = async (step: () => Promise<void>): Promise<void> => {
    while (!finishing.signal.aborted) await step();
  };
  const work = Promise.all([
    ...Array.from({ length: options.callers }, () => loop(increment)),
    ...Array.from({ length: options.readers ?? 0 }, () => loop(readBack)),
  ]);
  let broken: unknown;
  work.catch((error: unknown) => (broken = error));

  return {
    progress: async (more) => {
      const goal = total + more;
      await eventually(
        () => {
          if (total < goal) throw new Error(`${goal - total} of ${more} are not acknowledged: ${shown(failures)}`);
        },
        { timeoutMs: patienceMs, unless: () => broken !== undefined },
      );
    },
    acknowledged: () => total,
    failures: () => failures,
    finish: async () => {
      finishing.abort();
      await work;
    },
    tamper: (acknowledgements) => {
      const list = acknowledged.get(`${prefix}0`);
      if (acknowledgements === -1) list?.pop();
      else list?.push({ delta: 1n, revision: BigInt(list.length + 1), requestId: crypto.randomUUID() });
    },
    verify: async (now = target) => {
      const expected = new Map(
        [...acknowledged].map(([countId, list]) => [countId, { value: sum(list), revision: BigInt(list.length + 1) }]),
      );
      const reader = connectClient(CountReadService, now.http, now.operatorKey);
      // A reader's own connections may come back a little later than the writer's. What it answers must be right at once.
      const { counts: stored } = await repeatWhileUnavailable(async () =>
        reader.batchGetCounts({ countIds: counts, maxStaleness: {} }, { timeoutMs: callMs }),
      );
      expect(
        new Map(stored.map(({ value }) => [value?.countId, { value: value?.value, revision: value?.revision }])),
      ).toEqual(expected);
      // The first revision is the creation's; after it each increment has one of its own.
      for (const list of acknowledged.values()) {
        const revisions = list.map(({ revision }) => Number(revision)).toSorted((a, b) => a - b);
        expect(revisions).toEqual(list.map((_, index) => index + 2));
      }
      const verifier = connectClient(CountManagementService, now.http, now.operatorKey);
      const sums = [...expected].map(([countId, { value, revision }]) => ({
        countId,
        state: CountCheckState.EQUAL,
        sum: value,
        sumRevision: revision,
        sinceRevision: 0n,
      }));
      await eventually(
        async () => {
          const { checks } = await verifier.verifyCounts({ prefix, pageSize: 1000 });
          expect(checks).toMatchObject(sums.toSorted((a, b) => (a.countId < b.countId ? -1 : 1)));
        },
        { timeoutMs: patienceMs },
      );
      expect(await changesOf(now, prefix, acknowledged)).toEqual(
        new Map(
          [...acknowledged].map(([countId, list]) => [countId, new Map(list.map((one) => [one.requestId, one.delta]))]),
        ),
      );
    },
  };
}

async function repeatWhileUnavailable<T>(call: () => Promise<T>): Promise<T> {
  const endAt = performance.now() + patienceMs;
  for (;;) {
    try {
      return await call();
    } catch (thrown) {
      if (ConnectError.from(thrown).code !== Code.Unavailable || performance.now() > endAt) throw thrown;
      await Bun.sleep(20); // A refused connection fails at once: without a pause this would spin.
    }
  }
}

/** Deltas by Count and request id, as the stored events tell them; waits until there are as many as were acknowledged. */
async function changesOf(
  target: LoadTarget,
  prefix: string,
  acknowledged: ReadonlyMap<string, readonly Acknowledged[]>,
): Promise<ReadonlyMap<string, ReadonlyMap<string, bigint>>> {
  const changes = new Map([...acknowledged.keys()].map((countId) => [countId, new Map<string, bigint>()]));
  const revisions = new Set<string>();
  let missing = [...acknowledged.values()].reduce((all, list) => all + list.length, 0);
  const operations = connectClient(OperationsService, target.http, target.operatorKey);
  const tail = operations.tailEvents({ topic: "count.value", fromStart: true }, { timeoutMs: patienceMs });
  for await (const { dataJson } of tail) {
    for (const { countId, revision, requestId, delta } of fromJsonString(CountsChangedSchema, dataJson).changes) {
      if (!countId.startsWith(prefix) || requestId === "") continue;
      if (revisions.has(`${countId} ${revision}`)) continue; // An entry that was published again.
      revisions.add(`${countId} ${revision}`);
      const ofCount = changes.get(countId);
      if (ofCount?.has(requestId) === true) throw new Error(`${requestId} changed ${countId} twice`);
      ofCount?.set(requestId, delta);
      missing -= 1;
    }
    if (missing <= 0) break;
  }
  return changes;
}

function sum(list: readonly Acknowledged[]): bigint {
  return list.reduce((total, { delta }) => total + delta, 0n);
}

function shown(failures: ReadonlyMap<string, number>): string {
  return [...failures].map(([name, count]) => `${name} x ${count}`).join(", ");
}

/** Mulberry32: numbers in [0, 1) that follow from a seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
