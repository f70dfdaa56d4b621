import { expect, test } from "bun:test";
import { runDoor } from "./door.ts";
import { isSound, printDoor } from "./print.ts";
import { listRows } from "./rows.ts";

const sizes = [300];
/** What runs wherever Redis does: the peer in Python comes by pip. */
const wanted = [
  "store/300/200",
  "snapshot/300/200",
  "hedged/300/200",
  "javascript/300/200",
  "scan/300/alone",
  "rpc/300/200",
];

test("bench door looks in every engine, enrols, erases and halts the store, and no decision is wrong", async () => {
  const result = await runDoor({
    wanted: ({ id }) => [...wanted, "writes", "halt", "rpc/writes", "rpc/halt"].includes(id),
    sizes,
    probes: 40,
    windowMs: 400,
    warmUpMs: 100,
    repetitions: 1,
    people: 10,
    rpcPeople: 3,
    haltMs: 300,
    report: () => {},
  });
  expect(result.rows.map(({ row }) => row).toSorted()).toEqual(wanted.toSorted());
  for (const row of result.rows) {
    expect(row).toMatchObject({ faces: 300, recall: 1, wrong: 0, faults: [] });
    expect(row.calls).toBeGreaterThan(0);
    expect(row.memoryMiB[row.row.startsWith("rpc") ? "muin" : "engine"]).toBeGreaterThan(0);
  }
  expect(result.events.map(({ row }) => row)).toEqual([
    "enrol/store",
    "enrol/copy",
    "erase",
    "halt",
    "enrol/rpc",
    "enrol/rpc found",
    "erase/rpc",
    "halt/rpc",
  ]);
  expect(result.targets.map(({ name }) => name)).toEqual([
    "enrol -> findable at the door, mean ms",
    "erasure effective on every process, p99 ms",
    "slowest decision with Redis halted for 5 s, ms",
    "EnrolFace -> an Identify admits the person, mean ms",
    "EraseFace -> DONE, p99 ms",
    "slowest Identify over Connect with Redis halted for 5 s, ms",
  ]);
  expect({ sound: isSound(result), events: result.events.flatMap(({ faults }) => faults) }).toEqual({
    sound: true,
    events: [],
  });
  expect(printDoor(result)).toContain("plain JavaScript loop");
}, 120_000);

test("every row has a name of its own", () => {
  const ids = listRows([1000, 5000, 20_000]).map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
});
