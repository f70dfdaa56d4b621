import {
  CountCheckState,
  CountManagementService,
} from "../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../../internal/gen/muin/count/v1/count_read_service_pb.ts";
import { CountWriteService } from "../../internal/gen/muin/count/v1/count_write_service_pb.ts";
import { OperationsService } from "../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { eventually } from "../../internal/platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../../internal/platform/testing/muin.ts";
import { countIdAt } from "./requests.ts";
import type { Subject } from "./subject.ts";

/** Ids of one BatchGetCounts, and checks on one page. */
const pageSize = 1000;
/** Creations on their way at once. */
const creatorsMax = 64;
/** Time for the watch to have seen all events once the load is over. */
const verifyMsMax = 60_000;

/** All of Muin, with count-management's watch as the consumer. */
export interface MuinSubject extends Subject {
  readonly muin: TestMuin;
}

/** Starts Muin and creates `counts` Counts of value 0. */
export async function startMuinSubject(counts: number, env: Readonly<Record<string, string>>): Promise<MuinSubject> {
  const muin = await startMuin({ env });
  const ids = Array.from({ length: counts }, (_, place) => countIdAt(place));
  await createCounts(muin, ids);
  return {
    muin,
    processes: async () => {
      const found = await muin.folder.processes();
      const named = (prefix: string): number[] =>
        found.filter(({ name }) => name.startsWith(prefix)).map(({ pid }) => pid);
      return {
        muin: [muin.pid],
        "redis counts": named("redis/counts"),
        "redis events": named("redis/events"),
        postgres: named("postgres"),
      };
    },
    stored: () => storedSum(muin, ids),
    outboxDepth: async () => {
      const { outboxes } = await muin.client(OperationsService).getStatus({});
      const depth = outboxes.find(({ service }) => service === "count-write")?.depth;
      if (depth === undefined || depth < 0n) throw new Error("the status names no outbox of count-write");
      return Number(depth);
    },
    finished: () => finishedByCode(muin),
    verify: async () => {
      try {
        await eventually(
          async () => {
            const fault = await firstFault(muin);
            if (fault !== undefined) throw new Error(fault);
          },
          { timeoutMs: verifyMsMax },
        );
        return undefined;
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    },
    close: async () => {
      await muin[Symbol.asyncDispose]();
    },
  };
}

/** Creates Counts of value 0, several at a time. */
async function createCounts(muin: TestMuin, ids: readonly string[]): Promise<void> {
  const management = muin.client(CountManagementService);
  const left = ids.values();
  const createSome = async (): Promise<void> => {
    for (const countId of left) await management.createCount({ countId, countInfo: {} });
  };
  await Promise.all(Array.from({ length: creatorsMax }, createSome));
}

/** Sum of the values of Counts, read from the primary. */
async function storedSum(muin: TestMuin, ids: readonly string[]): Promise<number> {
  const reader = muin.client(CountReadService);
  let sum = 0;
  for (let from = 0; from < ids.length; from += pageSize) {
    const page = await reader.batchGetCounts({
      countIds: ids.slice(from, from + pageSize),
      maxStaleness: { seconds: 0n, nanos: 0 },
    });
    for (const { value } of page.counts) sum += Number(value?.value ?? 0n);
  }
  return sum;
}

/** Calls of count-write that have ended, by code. */
async function finishedByCode(muin: TestMuin): Promise<Record<string, number>> {
  const codes: Record<string, number> = {};
  const metrics = await (await fetch(`${muin.operator}/metrics`)).text();
  for (const [, labels, count] of metrics.matchAll(/^muin_rpc_server_finished_total\{(.*)\} (\d+)$/gm)) {
    if (labels?.includes(`service="${CountWriteService.typeName}"`) !== true) continue;
    const code = /code="([^"]*)"/.exec(labels)?.[1] ?? "none";
    codes[code] = (codes[code] ?? 0) + Number(count);
  }
  return codes;
}

/** The first Count whose value is not the sum of its changes, in a sentence; `undefined` when there is none. */
async function firstFault(muin: TestMuin): Promise<string | undefined> {
  const management = muin.client(CountManagementService);
  for (let pageToken = ""; ;) {
    const page = await management.verifyCounts({ pageSize, pageToken });
    const wrong = page.checks.find(({ state }) => state !== CountCheckState.EQUAL);
    if (wrong !== undefined) {
      return `${wrong.countId}: sum ${wrong.sum} at revision ${wrong.sumRevision}, value ${wrong.value} at revision ${wrong.revision}`;
    }
    if (page.nextPageToken === "") return undefined;
    pageToken = page.nextPageToken;
  }
}
