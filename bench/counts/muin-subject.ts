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

/** Starts Muin, by `wrapper` when one is given, and creates `counts` Counts of value 0. */
export async function startMuinSubject(
  counts: number,
  env: Readonly<Record<string, string>>,
  wrapper: readonly string[] = [],
): Promise<MuinSubject> {
  const muin = await startMuin({ env, wrapper });
  const management = muin.client(CountManagementService);
  const reader = muin.client(CountReadService);
  const operations = muin.client(OperationsService);
  const ids = Array.from({ length: counts }, (_, place) => countIdAt(place));
  let next = 0;
  const createSome = async (): Promise<void> => {
    for (let place = next++; place < counts; place = next++) {
      await management.createCount({ countId: ids[place] as string, countInfo: {} });
    }
  };
  const checks = async (): Promise<string | undefined> => {
    for (let pageToken = ""; ;) {
      const page = await management.verifyCounts({ pageSize, pageToken });
      const wrong = page.checks.find(({ state }) => state !== CountCheckState.EQUAL);
      if (wrong !== undefined)
        return `${wrong.countId}: sum ${wrong.sum} at revision ${wrong.sumRevision}, value ${wrong.value} at revision ${wrong.revision}`;
      if (page.nextPageToken === "") return undefined;
      pageToken = page.nextPageToken;
    }
  };
  await Promise.all(Array.from({ length: creatorsMax }, createSome));
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
    stored: async () => {
      let sum = 0;
      for (let from = 0; from < counts; from += pageSize) {
        const page = await reader.batchGetCounts({
          countIds: ids.slice(from, from + pageSize),
          maxStaleness: { seconds: 0n, nanos: 0 },
        });
        for (const { value } of page.counts) sum += Number(value?.value ?? 0n);
      }
      return sum;
    },
    outboxDepth: async () => {
      const { outboxes } = await operations.getStatus({});
      const depth = outboxes.find(({ service }) => service === "count-write")?.depth;
      if (depth === undefined || depth < 0n) throw new Error("the status names no outbox of count-write");
      return Number(depth);
    },
    finished: async () => {
      const codes: Record<string, number> = {};
      const metrics = await (await fetch(`${muin.http}/metrics`)).text();
      for (const [, labels, count] of metrics.matchAll(/^muin_rpc_server_finished_total\{(.*)\} (\d+)$/gm)) {
        if (labels?.includes(`service="${CountWriteService.typeName}"`) !== true) continue;
        const code = /code="([^"]*)"/.exec(labels)?.[1] ?? "none";
        codes[code] = (codes[code] ?? 0) + Number(count);
      }
      return codes;
    },
    verify: async () => {
      try {
        await eventually(
          async () => {
            const wrong = await checks();
            if (wrong !== undefined) throw new Error(wrong);
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
