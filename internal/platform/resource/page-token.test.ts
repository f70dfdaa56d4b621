import { expect, test } from "bun:test";
import { MuinError } from "../errors/muin-error.ts";
import { afterOf, pageOf, pageTokenOf } from "./page-token.ts";

const query = ["things", { state: "ACTIVE" }];

test("a token continues its query, whatever the id", () => {
  for (const id of ["a", "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55", "서울", "x".repeat(300)]) {
    expect(afterOf(query, pageTokenOf(query, id))).toBe(id);
  }
  expect(afterOf(query, "")).toBe("");
});

test("a token of another query, and what is none, is refused", () => {
  const token = pageTokenOf(query, "a");
  const wrong = [
    pageTokenOf(["things", {}], "a"),
    `${token}A`,
    `${token}=`,
    token.slice(0, -1),
    "nonsense",
    "AAAA",
    pageTokenOf(query, "\0"),
  ];
  for (const each of wrong) {
    expect(() => afterOf(query, each)).toThrow(MuinError);
    expect(() => afterOf(query, each)).toThrow("page_token belongs to another query");
  }
});

test("pages show each row once, and only a further page has a token", async () => {
  const rows = Array.from({ length: 201 }, (_, index) => String(index).padStart(3, "0"));
  const read = (after: string, limit: number): Promise<readonly string[]> =>
    Promise.resolve(rows.filter((row) => row > after).slice(0, limit));
  const sizes: number[] = [];
  const seen: string[] = [];
  let pageToken = "";
  do {
    const { page, nextPageToken } = await pageOf(query, { pageSize: 0, pageToken }, read, (row) => row);
    sizes.push(page.length);
    seen.push(...page);
    pageToken = nextPageToken;
  } while (pageToken !== "");
  expect(sizes).toEqual([100, 100, 1]);
  expect(seen).toEqual(rows);
  const { nextPageToken } = await pageOf(query, { pageSize: 201, pageToken: "" }, read, (row) => row);
  expect(nextPageToken).toBe("");
});
