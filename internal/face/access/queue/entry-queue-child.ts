import { silentLog } from "../../../platform/testing/local-stores.ts";
import { createEntryQueue } from "./entry-queue.ts";

/** Appends entries one after the other until it is killed, and says which are on disk. */
const [, , folder = ""] = process.argv;
const queue = createEntryQueue({ folder, bytesMax: 1_000_000_000, log: silentLog });
await queue.start();
for (let n = 0; ; n += 1) {
  const text = `entry ${n} of many`;
  await queue.append(Buffer.from(text));
  process.stdout.write(`${text}\n`);
}
