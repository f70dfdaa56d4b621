import { expect, test } from "bun:test";
import type { Question, Reply } from "./testdata/threads/questions.ts";
import { startThread, type Thread } from "./thread.ts";

const probe = new URL("./testdata/threads/probe-thread.ts", import.meta.url);

/** Asks one thing and resolves with the first reply. */
async function ask(question: Question): Promise<{ readonly thread: Thread<Question>; readonly reply: Reply }> {
  const replied = Promise.withResolvers<Reply>();
  const thread = startThread<Question, Reply>(probe, replied.resolve);
  thread.post(question);
  return { thread, reply: await replied.promise };
}

test("a thread answers, and ends when it is stopped", async () => {
  const { thread, reply } = await ask({ kind: "sum", a: 1, b: 2 });
  expect(reply).toEqual({ kind: "sum", sum: 3 });
  await thread.stop();
  await thread.ended;
  await thread.stop();
});

test("a thread that is in the middle of its work is stopped all the same", async () => {
  const { thread, reply } = await ask({ kind: "hang" });
  expect(reply).toEqual({ kind: "stuck" });
  await thread.stop();
  await thread.ended;
});

test("memory can be common to both", async () => {
  const shared = new SharedArrayBuffer(2);
  const { thread } = await ask({ kind: "fill", shared, value: 9 });
  expect([...new Uint8Array(shared)]).toEqual([9, 9]);
  await thread.stop();
});

test("whoever started a thread learns why it ended by itself", async () => {
  const thread = startThread<Question, Reply>(probe, () => undefined);
  thread.post({ kind: "fail" });
  expect(await thread.ended.catch(String)).toContain("told to fail");
  await thread.stop();
});

test("a module that is not there ends the thread", async () => {
  const thread = startThread(new URL("./testdata/threads/absent-thread.ts", import.meta.url), () => undefined);
  expect(await thread.ended.catch(() => "failed")).toBe("failed");
});
