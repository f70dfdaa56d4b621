import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemRandom } from "../../../platform/clock/random.ts";
import { Secret } from "../../../platform/config/fields.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import {
  clientHash,
  judgeRefresh,
  mintRefreshToken,
  openSuccessor,
  parseRefreshToken,
  sealSuccessor,
  type RefreshFacts,
} from "./refresh-token.ts";
import { createVault } from "../secret/vault.ts";

const vault = createVault(new Secret("one secret that is long enough for it"), systemRandom);
const foreign = createVault(new Secret("another secret that is long enough too"), systemRandom);
const sessionId = "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55";

describe("a refresh token", () => {
  const token = mintRefreshToken(vault, systemRandom, sessionId);

  test("reads as it was made, and has 256 random bits", () => {
    expect(parseRefreshToken(vault, token.text)).toEqual(token);
    expect(Buffer.from(token.text, "base64url")).toHaveLength(16 + 32 + 16);
    expect(mintRefreshToken(vault, systemRandom, sessionId).text).not.toBe(token.text);
  });

  test("is not genuine when another made or altered it", () => {
    const bytes = Buffer.from(token.text, "base64url");
    for (const position of [0, 20, 63]) {
      const altered = Buffer.from(bytes);
      altered[position] = (altered[position] ?? 0) ^ 1;
      expect(parseRefreshToken(vault, altered.toString("base64url"))?.genuine).toBe(false);
    }
    expect(parseRefreshToken(vault, mintRefreshToken(foreign, systemRandom, sessionId).text)?.genuine).toBe(false);
  });

  test.each(["", "x", `${token.text}=`, `${token.text}A`, token.text.slice(1), `${token.text.slice(0, -1)}*`])(
    "refuses another shape: %p",
    (text) => {
      expect(parseRefreshToken(vault, text)).toBeUndefined();
    },
  );

  test("gives its successor to who presents it alone", () => {
    const successor = mintRefreshToken(vault, systemRandom, sessionId);
    const sealed = sealSuccessor(token, successor, systemRandom);
    expect(openSuccessor(token, sealed)).toBe(successor.text);
    expect(() => openSuccessor(successor, sealed)).toThrow();
  });
});

describe("what a presented token brings", () => {
  const old = mintRefreshToken(vault, systemRandom, sessionId);
  const current = mintRefreshToken(vault, systemRandom, sessionId);
  const here = clientHash("app/1", "192.0.2.1");
  const grace = { rotateTimeMs: 1_000_000, clientHash: here };
  const facts: RefreshFacts = {
    nowMs: 1_000_000,
    ended: false,
    expireTimeMs: 2_000_000,
    currentHash: current.hash,
    grace: undefined,
    clientHash: here,
  };
  const invented = parseRefreshToken(vault, mintRefreshToken(foreign, systemRandom, sessionId).text) ?? old;
  const cases: readonly (readonly [string, typeof old, Partial<RefreshFacts>, ReturnType<typeof judgeRefresh>])[] = [
    ["the good one", current, {}, "rotate"],
    ["the good one of an ended session", current, { ended: true }, "refuse"],
    ["the good one at its end", current, { nowMs: 2_000_000 }, "refuse"],
    ["an exchanged one at once", old, { grace }, "repeat"],
    ["an exchanged one at the end of the grace", old, { grace, nowMs: 1_010_000 }, "repeat"],
    ["an exchanged one after the grace", old, { grace, nowMs: 1_010_001 }, "reuse"],
    ["an exchanged one of a clock that was put back", old, { grace, nowMs: 989_999 }, "reuse"],
    ["an exchanged one elsewhere", old, { grace, clientHash: clientHash("app/1", "192.0.2.2") }, "reuse"],
    ["an exchanged one in another program", old, { grace, clientHash: clientHash("app/2", "192.0.2.1") }, "reuse"],
    ["an exchanged one long after", old, {}, "reuse"],
    ["an exchanged one of an ended session", old, { ended: true }, "refuse"],
    ["an invented one", invented, {}, "refuse"],
  ];

  test.each(cases)("%s", (_, token, change, verdict) => {
    expect(judgeRefresh(token, { ...facts, ...change })).toBe(verdict);
  });

  test.each([
    ["a grace without end", "Math.abs(facts.nowMs - grace.rotateTimeMs) <= refreshGraceMs", "true"],
    ["a grace that a clock put back makes longer", "Math.abs(", "("],
    ["a grace for everybody", "equal(grace.clientHash, facts.clientHash)", "true"],
    ["no grace", "grace !== undefined &&", "false &&"],
    ["reuse that ends nothing", 'token.genuine ? "reuse" : "refuse"', '"refuse"'],
    ["sessions ended by inventing tokens", 'token.genuine ? "reuse" : "refuse"', '"reuse"'],
    ["an ended session that goes on", "facts.ended || ", ""],
  ])("mutant: %s is noticed", async (_, from, to) => {
    const mutant = await importMutant<{ judgeRefresh: typeof judgeRefresh }>(
      join(import.meta.dir, "refresh-token.ts"),
      from,
      to,
    );
    const wrong = cases.filter(
      ([, token, change, verdict]) => mutant.judgeRefresh(token, { ...facts, ...change }) !== verdict,
    );
    expect(wrong).not.toEqual([]);
  });
});
