import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "../../testing/mutant.ts";
import { good, path } from "../testdata/raw-bodies.ts";
import { startProbeServer, type ProbeServer } from "../testdata/start-probe-server.ts";

type Ask = (server: ProbeServer, json: string) => Promise<Response>;

function post(target: string): Ask {
  return ({ addresses }, body) =>
    fetch(addresses.http + target, { method: "POST", headers: { ...good, "content-type": "application/json" }, body });
}

/** Every way on which a request comes as JSON: to the message of `Look`, which has a field of each kind. */
const ways: Readonly<Record<string, Ask>> = {
  "Connect, generic": post(`${path}/Look`),
  "Connect GET": ({ addresses }, json) =>
    fetch(`${addresses.http}${path}/Look?connect=v1&encoding=json&message=${encodeURIComponent(json)}`),
  "REST, a whole body": post("/api/v1/looks:whole"),
};

async function answerOf(response: Response): Promise<string> {
  const text = await response.text();
  const message = /"message":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? "";
  return response.ok ? `${response.status}` : `${response.status} ${JSON.parse(`"${message}"`)}`;
}

const moment = "must be a moment that exists, such as 2026-12-01T09:30:00Z or 2026-12-01T09:30:00+09:00";
const seconds = "must be seconds, with up to 9 digits after the point, such as 3s or 0.25s";
const digits = "must be a whole number: decimal digits alone";
const exact = "must be written as text, in quotes: a JSON number of this size is not exact";
const bits = "must be a number that 64 bits hold";

const refused: readonly (readonly [json: string, message: string])[] = [
  ['{"at":"2026-02-30T00:00:00Z"}', `at ${moment}`],
  ['{"at":"2027-02-29T00:00:00Z"}', `at ${moment}`],
  ['{"at":"2027-01-01T24:00:00Z"}', `at ${moment}`],
  ['{ "at" : "2026-04-31T00:00:00+09:00" }', `at ${moment}`],
  ['{"at":"\\u0032026-02-30T00:00:00Z"}', `at ${moment}`],
  ['{"wait":"0.0000000001s"}', `wait ${seconds}`],
  ['{"wait":"1s or so"}', `wait ${seconds}`],
  ['{"big":"0x10"}', `big ${digits}`],
  ['{"big":"0b11"}', `big ${digits}`],
  ['{"big":" 5"}', `big ${digits}`],
  ['{"big":"5 "}', `big ${digits}`],
  ['{"big":"+5"}', `big ${digits}`],
  ['{"big":"\\u0030x10"}', `big ${digits}`],
  ['{"big":1.5}', `big ${digits}`],
  ['{"big":4503599627370497.1}', `big ${digits}`],
  ['{"big":1.00000000000000000001}', `big ${digits}`],
  ['{"big":9007199254740993}', `big ${exact}`],
  ['{"big":1e30}', `big ${exact}`],
  ['{"small":"1e2"}', `small ${digits}`],
  ['{"small":"1.0"}', `small ${digits}`],
  ['{"small":0.99999999999999999999}', `small ${digits}`],
  ['{"ratio":1e400}', `ratio ${bits}`],
  ['{"maybeBig":"0x10"}', `maybeBig ${digits}`],
  ['{"maybe_big":"0x10"}', `maybe_big ${digits}`],
  ['{"nested":{"nested":{"numbers":["1","0x1"]}}}', `nested.nested.numbers[1] ${digits}`],
  ['{"items":[{},{"numbers":[1.5]}]}', `items[1].numbers[0] ${digits}`],
  ['{"parts":{"a":{"numbers":["+1"]}}}', `parts["a"].numbers[0] ${digits}`],
  ['{"numbered":{"0x10":"a"}}', `numbered["0x10"] (key) ${digits}`],
  ['{"extra":{"a":[1e400]}}', `extra["a"][0] ${bits}`],
  ['{"wait":"315576000001s"}', `a length of time ${seconds}`],
  ['{"wait":"1h"}', `a length of time ${seconds}`],
  ['{"wait":1}', `a length of time ${seconds}`],
  ['{"at":"99999-12-30T00:00:00Z"}', `a time ${moment}`],
  ['{"at":"yesterday"}', `a time ${moment}`],
  ['{"small":4294967296}', "small must be a whole number that uint32 holds"],
  ['{"small":"-1"}', "small must be a whole number that uint32 holds"],
  ['{"big":"9223372036854775808"}', "big must be a whole number that int64 holds"],
  ['{"big":""}', `big ${digits}`],
  ['{"big":true}', `big ${digits}`],
  ['{"nested":{"numbers":["1","a"]}}', `numbers ${digits}`],
  ["{", "the body is no JSON"],
  ["nonsense", "the body is no JSON"],
  ['{"big":1,"big":2}', 'the body is no JSON of one meaning: duplicate object key "big"'],
  ['{"big":"111111111111111111111"}', `big ${bits}`],
];

const taken: readonly string[] = [
  '{"at":"2028-02-29T23:59:59.5+09:00","wait":"-0.25s","big":"-9223372036854775808","small":4294967295}',
  '{"big":9007199254740991,"small":"007","ratio":-1.5e-3}',
  '{"big":1.0,"small":1e2}',
  '{"big":0.0,"small":0e9}',
  '{"big":1152921504606846976}',
  '{"ratio":"1e3","numbered":{"-5":"0x10"}}',
  '{"name":"2026-02-30T00:00:00Z","tags":["0x10","1.5"," 5","1.5s and more","\\u0031\\""],"text":"+5"}',
  '{"labels":{"a":"2026-02-30T00:00:00Z","0x10":"1e400"},"extra":{"a":"2026-02-30T00:00:00Z","b":1.5}}',
];

let server: ProbeServer;
beforeAll(async () => {
  server = await startProbeServer({ connectionLimits: { strangerRequestsMax: 10_000 } });
});
afterAll(() => server.stop());

describe.each(Object.entries(ways))("%s", (_name, ask) => {
  test.each(refused)("%s is refused", async (json, message) => {
    expect(await answerOf(await ask(server, json))).toStartWith(`400 ${message}`);
  });

  test.each(taken)("%s is taken", async (json) => {
    expect(await answerOf(await ask(server, json))).toBe("200");
  });
});

test.each([
  ["Connect, fast", `${path}/Fast`],
  ["REST", "/api/v1/probes/a"],
])("%s: a hot method refuses the same", async (_name, target) => {
  const ask = post(target);
  expect(await answerOf(await ask(server, '{"name":"a","amount":"0x10"}'))).toBe(`400 amount ${digits}`);
  expect(await answerOf(await ask(server, '{"name":"a","repeat":0.99999999999999999999}'))).toBe(
    `400 repeat ${digits}`,
  );
  expect(await answerOf(await ask(server, '{"name":"a","amount":"12"}'))).toBe("200");
});

test("a whole number of more digits than 64 bits hold is refused, however many, and leading zeros mean nothing", async () => {
  const ask = post(`${path}/Fast`);
  for (const count of [21, 400, 900_000]) {
    expect(await answerOf(await ask(server, `{"name":"a","amount":"-${"1".repeat(count)}"}`))).toBe(
      `400 amount ${bits}`,
    );
  }
  expect(await answerOf(await ask(server, `{"name":"a","amount":"${"0".repeat(1000)}12"}`))).toBe("200");
});

test("a number of very many zeros is judged at once", async () => {
  const json = `{"name":"a","repeat":0.${"0".repeat(200_000)}1}`;
  expect(await answerOf(await post(`${path}/Fast`)(server, json))).toBe(`400 repeat ${digits}`);
}, 5000);

test("a body that is one field is looked at as well, and each of its keys stands once", async () => {
  const ask = post("/api/v1/looks/a/nested");
  expect(await answerOf(await ask(server, '{"numbers":["0x10"]}'))).toBe(`400 numbers[0] ${digits}`);
  expect(await answerOf(await ask(server, '{"name":"a","n\\u0061me":"b"}'))).toBe(
    '400 the body is no JSON of one meaning: duplicate object key "name"',
  );
  expect(await answerOf(await post("/api/v1/looks:whole")(server, '{"mask":"name","mask":"big"}'))).toStartWith("400 ");
});

test.each([
  ["at=2026-02-30T00:00:00Z", `query parameter at ${moment}`],
  ["at=2027-01-01T24:00:00Z", `query parameter at ${moment}`],
  ["wait=0.0000000001s", `query parameter wait ${seconds}`],
  ["wait=1s%20or%20so", `query parameter wait ${seconds}`],
  ["wait=315576000001s", "query parameter wait must be from -315576000000s to 315576000000s"],
  ["wait=-315576000001s", "query parameter wait must be from -315576000000s to 315576000000s"],
  ["at=99999-12-30T00:00:00Z", `query parameter at ${moment}`],
  ["big=9223372036854775808", "query parameter big must be a whole number that int64 holds"],
  ["small=4294967296", "query parameter small must be a whole number that uint32 holds"],
  ["small=-1", "query parameter small must be a whole number that uint32 holds"],
  ["flag=TRUE", "query parameter flag must be true or false"],
  ["maybe_flag=1", "query parameter maybe_flag must be true or false"],
  ["big=0x10", `query parameter big ${digits}`],
  ["big=%2B5", `query parameter big ${digits}`],
  ["small=1e2", `query parameter small ${digits}`],
  ["maybe_big=0x1", `query parameter maybe_big ${digits}`],
  ["nested.numbers=0x1", `query parameter numbers ${digits}`],
  ["ratio=0x10", "query parameter ratio must be a number"],
])("the query %s is refused", async (query, message) => {
  const response = await fetch(`${server.addresses.http}/api/v1/looks:all?${query}`);
  expect(await answerOf(response)).toBe(`400 ${message}`);
});

describe("the tests notice", () => {
  const entry = join(import.meta.dir, "../testdata/start-probe-server.ts");
  test.each([
    ["when days roll over", "isOnCalendar(value) ?", "true ?", 0],
    ["when lengths of time are not looked at", "!/^-?\\d+(?:\\.\\d{1,9})?s$/.test(text)", "false", 5],
    ["when numbers are taken in every base", "if (!/^-?\\d+$/.test(text)) return wantedForms.whole;", "", 7],
    ["when a number has very many digits", "/^-?0*\\d{1,20}$/.test(text)", "true", refused.length - 1],
    ["when fractions are rounded", "if (zeros < 0 || !Number.isInteger(number)) return wantedForms.whole;", "", 14],
    ["when numbers lose digits", "? undefined : exactOnly", "? undefined : undefined", 16],
    ["when nothing is remarkable", "!isRemarkable(json)", "json !== undefined", 3],
  ])("%s", async (_name, from, to, which) => {
    const mutant = await importMutant<{ startProbeServer: typeof startProbeServer }>(
      join(import.meta.dir, "json-forms.ts"),
      from,
      to,
      [entry],
    );
    await using broken = await mutant.startProbeServer();
    const [json, message] = refused[which]!;
    await caught(async () => {
      expect(await answerOf(await ways["Connect, generic"]!(broken, json))).toStartWith(`400 ${message}`);
    });
  });

  test.each([
    ["when whole numbers may have any size", "isHeld(text, type) ?", "true ?", "small=4294967296"],
    ["when lengths of time may have any size", "<= durationSecondsMax ?", "<= Infinity ?", "wait=315576000001s"],
  ])("%s in a query", async (_name, from, to, query) => {
    const mutant = await importMutant<{ startProbeServer: typeof startProbeServer }>(
      join(import.meta.dir, "json-forms.ts"),
      from,
      to,
      [entry],
    );
    await using broken = await mutant.startProbeServer();
    const response = await fetch(`${broken.addresses.http}/api/v1/looks:all?${query}`);
    expect(await answerOf(response)).not.toStartWith("400 query parameter ");
  });
});
