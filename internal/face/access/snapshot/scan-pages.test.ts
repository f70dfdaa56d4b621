import { expect, test } from "bun:test";
import { join } from "node:path";
import { wasmModule, wasmModuleText, wasmSource } from "../../../tools/wasm-module.ts";
import { anyVector, seededFractions, templateOf } from "../../shared/face-fixture.ts";
import { quantiseQuery } from "./quantise.ts";
import { createScanMemory } from "./scan-memory.ts";
import { createScanPages } from "./scan-pages.ts";
import { createSlots } from "./slots.ts";

const root = join(import.meta.dir, "../../../..");
const seed = Number(process.env["SEED"] ?? 20261130);

test("the bytes of the module are those that its source makes", async () => {
  const made = await wasmModuleText(await Bun.file(join(root, wasmSource)).text());
  expect(await Bun.file(join(root, wasmModule)).text()).toBe(made);
});

test("mutant: another source makes other bytes", async () => {
  const source = await Bun.file(join(root, wasmSource)).text();
  const broken = await wasmModuleText(source.replace("f32.gt", "f32.ge"));
  expect(await Bun.file(join(root, wasmModule)).text()).not.toBe(broken);
});

/** Slots with random templates, and the scores that they have for a random query, worked out here. */
function filled(dimensions: number, count: number) {
  const fraction = seededFractions(seed + dimensions + count);
  const memory = createScanMemory(64 * 1024 * 1024);
  const slots = createSlots(memory, dimensions);
  for (let face = 0; face < count; face += 1) slots.write(templateOf(anyVector(fraction, dimensions)));
  const { values } = quantiseQuery(templateOf(anyVector(fraction, dimensions)));
  const { int8, float32 } = memory.bytes();
  const { pages, stride } = slots.layout();
  const perPage = Math.floor((65_536 - 16) / (stride + 4));
  const head = Math.ceil((perPage * 4) / 16) * 16;
  const scoreOf = (slot: number): number => {
    const page = pages[Math.floor(slot / perPage)] as number;
    const at = slot % perPage;
    let sum = 0;
    for (let place = 0; place < stride; place += 1)
      sum += (int8[page + head + at * stride + place] as number) * (values[place] as number);
    return Math.fround(Math.fround(sum) * (float32[page / 4 + at] as number));
  };
  return { memory, slots, values, scoreOf, scanPages: createScanPages(memory.memory, "here") };
}

test.each([
  [64, 1000, 64],
  [100, 333, 10],
  [512, 700, 64],
  [512, 50, 64],
  [2048, 90, 1],
  [512, 3, 2],
])("of rows of %d numbers, %d of them, the %d best are found", (dimensions, count, k) => {
  const { slots, values, scoreOf, scanPages } = filled(dimensions, count);
  const found = scanPages({ ...slots.layout(), values, k });
  const scores = Array.from({ length: count }, (_, slot) => ({ slot, score: scoreOf(slot) })).toSorted(
    (one, other) => other.score - one.score,
  );
  const best = scores.slice(0, k);
  expect([...found.slots].toSorted((a, b) => a - b)).toEqual(best.map(({ slot }) => slot).toSorted((a, b) => a - b));
  expect(found.floor).toBe(count < k ? -Infinity : (best.at(-1)?.score ?? NaN));
});

test("a slot that was dropped is not found, and is used again", () => {
  const { slots, values, scanPages } = filled(64, 10);
  slots.drop(3);
  const all = [0, 1, 2, 4, 5, 6, 7, 8, 9];
  const found = (): number[] => [...scanPages({ ...slots.layout(), values, k: 64 }).slots].toSorted((a, b) => a - b);
  expect(found()).toEqual(all);
  expect(slots.write(templateOf(anyVector(seededFractions(1), 64)))).toBe(3);
  expect(found()).toHaveLength(10);
});

test("memory that was given back is used again, and there is no more than was said", () => {
  const memory = createScanMemory(5 * 65_536);
  const taken = Array.from({ length: 5 }, () => memory.take());
  expect(new Set(taken).size).toBe(5);
  expect(memory.take()).toBeUndefined();
  memory.give([taken[2] as number]);
  expect(memory.take()).toBe(taken[2]);
});
