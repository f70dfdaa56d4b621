import { describe, expect, test } from "bun:test";
import { isSound, printCounts } from "./print.ts";
import { runCounts } from "./counts.ts";
import { measure } from "./measure.ts";
import type { Subject } from "./subject.ts";

const wanted = ["writer/64", "connection-per-caller/64", "connect-binary/open/64", "batch-write/64"];

describe("bench counts", () => {
  test("loads Muin and its peers, and finds stored what was acknowledged", async () => {
    const result = await runCounts({
      wanted: ({ id }) => wanted.includes(id),
      windowMs: 1500, // Long enough for one reply of each sender on a busy machine.
      warmUpMs: 0,
      repetitions: 1,
      counts: 20,
      report: () => {},
    });
    expect(result.rows.map(({ row }) => row).toSorted()).toEqual(wanted.toSorted());
    for (const row of result.rows) {
      expect(row).toMatchObject({ counts: 20, callers: 64, faults: [] });
      expect(row.acknowledged).toBeGreaterThan(0);
      expect(row.writesPerS.median).toBeGreaterThan(0);
    }
    const [writer] = result.rows;
    expect(Object.keys(writer?.cpuPercent ?? {}).toSorted()).toEqual([
      "client",
      "redis counts",
      "redis events",
      "relay + consumer",
    ]);
    expect(result.targets.map(({ name }) => name)).toContain(
      "write path: rate / plain INCR, connection each, 64 callers",
    );
    expect({ sound: isSound(result), faults: result.faults }).toEqual({ sound: true, faults: [] });
    expect(printCounts(result)).toContain("Muin's write path in process");
  }, 60_000);
});

describe("a sample", () => {
  const result = { acknowledged: 10, refused: {}, cutOff: 0, windowMs: 100, latencyMs: undefined };
  const faultsOf = async (of: Subject, changes: Partial<typeof result> = {}): Promise<readonly string[]> => {
    const run = async () => ({ ...result, ...changes });
    return (await measure(of, { pid: undefined, run, close: async () => {} }, 100, 50)).faults;
  };

  test.each([
    ["counts when all that was acknowledged is stored", subject([5, 15], [0], [{ ok: 1 }, { ok: 11 }]), {}, []],
    ["is invalid when a write was lost", subject([5, 14], [0], []), {}, ["10 acknowledged, 9 stored: lost"]],
    [
      "is invalid when a write was applied twice",
      subject([5, 16], [0], []),
      {},
      ["10 acknowledged, 11 stored: more than were sent"],
    ],
    ["counts when what was cut off was applied", subject([5, 17], [0], []), { cutOff: 2 }, []],
    [
      "is invalid when the server refused",
      subject([5, 15], [0], [{ ok: 1 }, { ok: 11, unavailable: 2 }]),
      {},
      ["2 calls ended with unavailable at the server"],
    ],
    [
      "is invalid when the sender was refused",
      subject([5, 15], [0], []),
      { refused: { "HTTP 503": 3 } },
      ["3 x HTTP 503"],
    ],
  ])("%s", async (_, of, changes, faults) => {
    expect(await faultsOf(of, changes)).toEqual(faults);
  });

  test("is invalid while the outbox stays deeper than before", async () => {
    expect(await faultsOf(subject([5, 15], [1, 7], []))).toEqual(["the outbox holds 7 entries, 1 before"]);
  });
});

/** A subject that answers with these, one after the other and then the last again. */
function subject(
  stored: readonly number[],
  depth: readonly number[],
  codes: readonly Record<string, number>[],
): Subject {
  return {
    processes: async () => ({}),
    stored: next(stored, 0),
    outboxDepth: next(depth, 0),
    finished: next(codes, {}),
    verify: async () => undefined,
    close: async () => {},
  };
}

function next<T>(values: readonly T[], none: T): () => Promise<T> {
  let place = -1;
  return async () => values[Math.min((place += 1), values.length - 1)] ?? none;
}
