import {
  CountCheckState,
  CountManagementService,
} from "../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../../internal/gen/muin/count/v1/count_read_service_pb.ts";
import { CountWriteService } from "../../internal/gen/muin/count/v1/count_write_service_pb.ts";
import { OperationsService } from "../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { eventually } from "../../internal/platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../../internal/platform/testing/muin.ts";
import { roomForRequestIds } from "./request-ids.ts";
import { countIdAt, createdPrefix } from "./requests.ts";
import type { Subject } from "./subject.ts";

/** Counts of one call and of one page. */
const pageSize = 1000;
/** Time for the watch to have seen all events once the load is over. */
const verifyMsMax = 60_000;

/** All of Muin, with count-management's watch as the consumer. */
export interface MuinSubject extends Subject {
  readonly muin: TestMuin;
  /** The same Muin under a load of creations: what is stored are Counts that a load created. */
  readonly creations: Subject;
}

/** Starts Muin and creates `counts` Counts of value 0. */
export async function startMuinSubject(counts: number, env: Readonly<Record<string, string>>): Promise<MuinSubject> {
  const muin = await startMuin({ env: { ...roomForRequestIds, ...env } });
  const ids = Array.from({ length: counts }, (_, place) => countIdAt(place));
  await createCounts(muin, ids);
  const depthOf = async (...services: readonly string[]): Promise<number> => {
    const { outboxes } = await muin.client(OperationsService).getStatus({});
    let sum = 0;
    for (const name of services) {
      const depth = outboxes.find(({ service }) => service === name)?.depth;
      if (depth === undefined || depth < 0n) throw new Error(`the status names no outbox of ${name}`);
      sum += Number(depth);
    }
    return sum;
  };
  const subject: Subject = {
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
    outboxDepth: () => depthOf("count-write"),
    finished: () => finishedByCode(muin, CountWriteService.typeName),
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
  const creations: Subject = {
    ...subject,
    stored: () => createdCounts(muin),
    outboxDepth: () => depthOf("count-write", "count-management"),
    finished: () => finishedByCode(muin, CountManagementService.typeName),
  };
  return { ...subject, muin, creations };
}

/** Creates Counts of value 0. */
async function createCounts(muin: TestMuin, ids: readonly string[]): Promise<void> {
  const management = muin.client(CountManagementService);
  for (let from = 0; from < ids.length; from += pageSize) {
    const requests = ids.slice(from, from + pageSize).map((countId) => ({ countId }));
    const { results } = await management.batchCreateCounts({ requests });
    const refused = results.find(({ result }) => result.case !== "success")?.result.value;
    if (refused !== undefined) throw new Error(`a Count was not created: ${JSON.stringify(refused)}`);
  }
}

/** How many Counts loads have created. */
async function createdCounts(muin: TestMuin): Promise<number> {
  const management = muin.client(CountManagementService);
  let found = 0;
  for (let pageToken = ""; ;) {
    const page = await management.listCounts({ prefix: createdPrefix, pageSize, pageToken });
    found += page.countInfos.length;
    if (page.nextPageToken === "") return found;
    pageToken = page.nextPageToken;
  }
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

/** Calls of a service that have ended, by code. */
async function finishedByCode(muin: TestMuin, service: string): Promise<Record<string, number>> {
  const codes: Record<string, number> = {};
  const metrics = await (await fetch(`${muin.operator}/metrics`)).text();
  for (const [, labels, count] of metrics.matchAll(/^muin_rpc_server_finished_total\{(.*)\} (\d+)$/gm)) {
    if (labels?.includes(`service="${service}"`) !== true) continue;
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
