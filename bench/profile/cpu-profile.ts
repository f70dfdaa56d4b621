import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { layOut } from "../harness/table.ts";

/** Lines of each part of a summary. */
const linesMax = 25;
const root = join(import.meta.dir, "..", "..");

/** What a summary needs of a `.cpuprofile`, as V8 defines it. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
    readonly children?: readonly number[];
  }[];
  /** Node on top of the stack at each sample. */
  readonly samples: readonly number[];
  /** Microseconds from the sample before. */
  readonly timeDeltas: readonly number[];
}

/** Summarises the one profile in a folder: time by file or package, by function, and with all that a function called. */
export async function summariseProfile(folder: string): Promise<string> {
  const [name, ...others] = (await readdir(folder)).filter((file) => file.endsWith(".cpuprofile"));
  if (name === undefined || others.length > 0) throw new Error(`${folder} must hold one profile`);
  const profile = (await Bun.file(join(folder, name)).json()) as CpuProfile;
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map<number, number>();
  for (const { id, children } of profile.nodes) for (const child of children ?? []) parents.set(child, id);
  const files = new Map<string, number>();
  const functions = new Map<string, number>();
  const inclusive = new Map<string, number>();
  let total = 0;
  for (const [place, id] of profile.samples.entries()) {
    const us = profile.timeDeltas[place] ?? 0;
    const frame = nodes.get(id)?.callFrame;
    if (frame === undefined) continue;
    total += us;
    add(files, packageOf(frame.url) || `native ${frame.functionName || "code"}`, us);
    add(functions, nameOf(frame), us);
    const seen = new Set<string>();
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const outer = nodes.get(at)?.callFrame;
      if (outer === undefined || outer.url === "") continue; // Native code says nothing about who is to blame.
      const called = nameOf(outer);
      if (!seen.has(called)) add(inclusive, called, us);
      seen.add(called);
    }
  }
  return [
    part("self time by file or package", files, total),
    part("self time by function", functions, total),
    part("time with all that a function called", inclusive, total),
  ].join("\n\n");
}

function add(times: Map<string, number>, name: string, us: number): void {
  times.set(name, (times.get(name) ?? 0) + us);
}

function nameOf({ functionName, url }: { readonly functionName: string; readonly url: string }): string {
  return `${functionName || "(anonymous)"} ${pathOf(url)}`.trim();
}

/** Path below the repository, or below where packages are. */
function pathOf(url: string): string {
  const path = url.replace(/^file:\/\//, "").replace(`${root}/`, "");
  return path.slice(Math.max(0, path.lastIndexOf("node_modules/")));
}

function packageOf(url: string): string {
  const path = pathOf(url);
  return /^node_modules\/(@[^/]+\/[^/]+|[^/]+)/.exec(path)?.[0] ?? path;
}

function part(title: string, times: ReadonlyMap<string, number>, total: number): string {
  const sorted = [...times].toSorted(([, left], [, right]) => right - left).slice(0, linesMax);
  return layOut(
    [title, "%"],
    sorted.map(([name, us]) => [name, ((us * 100) / total).toFixed(1)]),
  );
}
