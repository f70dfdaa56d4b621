import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { catalog } from "../../../internal/catalog.ts";
import { startMuin, type TestMuin } from "../../../internal/platform/testing/muin.ts";

// Commands start real processes, and machines are busy; a hang still ends.
setDefaultTimeout(60_000);

let muin: TestMuin;
beforeAll(async () => {
  muin = await startMuin();
  expect(await muin.run("counts", "create", "visits")).toMatchObject({ code: 0 });
});
afterAll(() => muin[Symbol.asyncDispose]());

const call = (...args: readonly string[]) => muin.run("call", ...args);

async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await call(...args, "--json");
  if (code !== 0) throw new Error(`muin call ${args.join(" ")} exited with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe("muin call", () => {
  test("calls a method by its short and its full name, with names of fields as in the proto and in JSON", async () => {
    const increment = ["CountWriteService/Increment", "--data", '{"count_id": "visits", "delta": 5}'];
    const { code, stdout } = await call(...increment, "--request-id", "order-8213-visit");
    expect(code).toBe(0);
    expect(stdout).toStartWith('{\n  "value": {\n    "count_id": "visits",\n    "value": 5,\n');
    const again = ["/muin.count.v1.CountWriteService/Increment", "--data", '{"countId": "visits", "delta": "5"}'];
    expect(await json(...again, "--request-id", "order-8213-visit")).toMatchObject({
      value: { count_id: "visits", value: 5 },
      replayed: true,
    });
  });

  test("reads the request from a file and from standard input; without one it is empty", async () => {
    const get = "CountReadService/GetCount";
    const file = join(muin.folder.path, "request.json");
    await Bun.write(file, '{"countId": "visits", "maxStaleness": "0s"}');
    expect(await json(get, "--data", `@${file}`)).toMatchObject({ count: { info: { count_id: "visits" } } });
    const { code, stdout } = await muin.begin(["call", get, "--data", "-"], { stdin: '{"countId": "visits"}' }).ended;
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({
      code: 0,
      count: { info: { count_id: "visits" } },
    });
    expect(await json("OperationsService/GetStatus")).toMatchObject({ ready: true });
  });

  test("a failure tells message, code, reason, what belongs to it and each violation", async () => {
    expect(await call("CountReadService/GetCount", "--data", '{"count_id": "nope"}')).toMatchObject({
      code: 4,
      stdout: "",
      stderr: [
        "muin: there is no Count nope",
        "  code      not_found",
        "  reason    COUNT_NOT_FOUND",
        "  count_id  nope",
        "",
      ].join("\n"),
    });
    const invalid = await call("CountWriteService/Increment", "--data", '{"count_id": "Visits", "delta": -5}');
    expect(invalid.code).toBe(2);
    expect(invalid.stderr).toMatch(/^ {2}code {7}invalid_argument\n {2}reason {5}[A-Z_]+$/m);
    expect(invalid.stderr).toMatch(/^ {2}violation {2}count_id: /m);
    expect(invalid.stderr).toMatch(/^ {2}violation {2}delta: /m);
    const late = await call(
      "OperationsService/RepublishEvents",
      "--data",
      '{"topic": "count.info"}',
      "--timeout",
      "1ms",
    );
    expect(late).toMatchObject({ code: 1, stderr: expect.stringContaining("deadline_exceeded") as string });
  });

  test("sends headers, a key among them", async () => {
    const status = ["OperationsService/GetStatus", "--header", "x-request: 1", "--header"];
    expect(await call(...status, `authorization:Bearer ${muin.operatorKey}`)).toMatchObject({ code: 0 });
    expect(await call(...status, "authorization: Bearer muin_unknown")).toMatchObject({
      code: 5,
      stderr: expect.stringContaining("reason  CREDENTIALS_INVALID") as string,
    });
  });

  test("prints a stream message by message until it is interrupted", async () => {
    const tail = muin.begin([
      "call",
      "OperationsService/TailEvents",
      "--data",
      '{"topic":"count.value","from_start":true}',
    ]);
    await tail.shows("muin.count.v1.CountsChanged");
    tail.signal("SIGINT");
    const { code, stdout } = await tail.ended;
    expect(code).toBe(0);
    for (const line of stdout.trimEnd().split("\n"))
      expect(JSON.parse(line)).toMatchObject({ subject: expect.anything() as unknown });
  });

  test("lists every method of the catalogue and of the platform", async () => {
    const { stdout } = await call("--list", "--json");
    const listed = stdout
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as { method: string }).method);
    const served = catalog.flatMap(({ serves }) =>
      serves.flatMap(({ name, methods }) => methods.map((each) => `${name}/${each.name}`)),
    );
    expect(listed).toEqual(expect.arrayContaining([...served, "OperationsService/TailEvents"]));
    expect((await call("--list")).stdout).toMatch(
      /^OperationsService\/TailEvents +muin\.platform\.v1\.TailEventsRequest +server streaming$/m,
    );
  });

  test.each<[stderr: string | RegExp, ...args: string[]]>([
    [
      "muin: there is no method CountWriteService/Incremant; is CountWriteService/Increment or CountWriteService/Decrement meant?\n",
      "CountWriteService/Incremant",
    ],
    [/; is CountWriteService\/Increment or CountWriteService\/Decrement meant\?\n$/, "Increment"],
    [
      "muin: there is no method CountWriteService/Inc; is CountWriteService/Increment meant?\n",
      "CountWriteService/Inc",
    ],
    ['muin: there is no method zzz; "muin call --list" shows all\n', "zzz"],
    ['muin: name a method; "muin call --list" shows all\n'],
    [/"colour" is unknown\n$/, "CountReadService/GetCount", "--data", '{"colour": 1}'],
    [/^muin: it is not JSON: /, "CountReadService/GetCount", "--data", "{"],
    [
      'muin: it is not JSON: duplicate object key "delta"\n',
      "CountWriteService/Increment",
      "--data",
      '{"count_id": "visits", "delta": "1", "delta": "2"}',
    ],
    [
      "muin: delta must be a whole number: decimal digits alone\n",
      "CountWriteService/Increment",
      "--data",
      '{"count_id": "visits", "delta": 1.00000000000000000001}',
    ],
    [/cannot be read as JSON/, "CountReadService/GetCount", "--data", "@/nonexistent"],
    ["muin: CountReadService/GetCount takes no request id\n", "CountReadService/GetCount", "--request-id", "12345678"],
    [/Write it name:value\./, "CountReadService/GetCount", "--header", "nope"],
    [/Latin-1/, "CountReadService/GetCount", "--header", "x-note: 방문"],
  ])("is refused with %p", async (stderr, ...args) => {
    const ended = await call(...args);
    expect(ended).toMatchObject({ code: 2, stdout: "" });
    if (typeof stderr === "string") expect(ended.stderr).toBe(stderr);
    else expect(ended.stderr).toMatch(stderr);
  });
});
