/** Prints, as one line of JSON, which of the faces of a gallery is found, which is so large that a thread is asked. */
import { silentLog } from "../../../../../platform/testing/local-stores.ts";
import { anyVector, seededFractions, templateOf } from "../../../../shared/face-fixture.ts";
import { createRows } from "../../rows.ts";
import { createScanMemory } from "../../scan-memory.ts";
import { createScanner } from "../../scanner.ts";
import { searchRows } from "../../search.ts";

const fraction = seededFractions(1);
const memory = createScanMemory(64 * 1024 * 1024);
const rows = createRows(memory, 512);
const scanner = createScanner({ memory, waitingMax: 8, log: silentLog, refused: () => undefined });
await scanner.start();
const templates = Array.from({ length: 2500 }, () => templateOf(anyVector(fraction, 512)));
for (const [place, template] of templates.entries())
  rows.put({ memberId: `m${place}`, enrolmentId: `e${place}` }, [template]);
const alive = setInterval(() => undefined, 60_000); // A thread keeps no process from ending; this does until it has answered.
const { signal } = new AbortController();
const { best } = await searchRows({ rows, denied: new Set() }, templates[1234]!, undefined, scanner, signal);
clearInterval(alive);
process.stdout.write(JSON.stringify(best?.memberId));
