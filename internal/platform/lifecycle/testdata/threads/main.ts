/** Prints, as one line of JSON, what its thread made of some questions; then the process ends although the thread goes on. */
import { startThread } from "../../thread.ts";
import type { Question, Reply } from "./questions.ts";

const shared = new SharedArrayBuffer(4);
const replies: Reply[] = [];
const answered = Promise.withResolvers<void>();
const thread = startThread<Question, Reply>(new URL("./probe-thread.ts", import.meta.url), (reply) => {
  replies.push(reply);
  if (replies.length === 2) answered.resolve();
});
thread.post({ kind: "sum", a: 40, b: 2 });
thread.post({ kind: "fill", shared, value: 7 });
const alive = setInterval(() => undefined, 60_000); // A thread keeps no process from ending; this does until it has answered.
await answered.promise;
clearInterval(alive);
process.stdout.write(JSON.stringify({ replies, shared: [...new Uint8Array(shared)] }));
