import { isMatch, type FaceEngine } from "../../internal/face/shared/face-engine.ts";
import { type Served, serveChild } from "../harness/child.ts";
import { type EngineOptions, openEngine } from "./engines.ts";
import { galleryOf, personOf, templateOf } from "./galleries.ts";
import { matchRule, readProbes } from "./people.ts";
import type { Answers, Load } from "./subject.ts";
import { type Ask, runLoad } from "./tally.ts";

/** What this process is told on its command line. */
export interface EngineLoadOptions extends EngineOptions {
  /** Where the probes lie. */
  readonly peopleFolder: string;
}

/** An engine in the sender's process: what a service does for a face, from the numbers that a device sends to whose it is. */
async function openEngineLoad(options: EngineLoadOptions): Promise<Served<Load, Answers>> {
  const probes = await readProbes(options.peopleFolder);
  const { engine, close } = await openEngine(options);
  return {
    greeting: "",
    answer: (load) => runLoad(probes, options.engine === "scan" ? askScan(engine) : askService(engine), load),
    close,
  };
}

/** All that a service does for a face. */
function askService(engine: FaceEngine): Ask {
  return ({ embedding }, faces) => ask(engine, faces, templateOf(galleryOf(faces), embedding));
}

/** The search alone: templates are made once. */
function askScan(engine: FaceEngine): Ask {
  const made = new Map<string, Float32Array>();
  return (probe, faces) => {
    const name = `${faces}/${probe.place}`;
    const template = made.get(name) ?? templateOf(galleryOf(faces), probe.embedding);
    made.set(name, template);
    return ask(engine, faces, template);
  };
}

async function ask(engine: FaceEngine, faces: number, template: Float32Array): Promise<number | null> {
  const query = { gallery: galleryOf(faces), template, decideBy: matchRule };
  const outcome = await engine.search(query, never);
  if (outcome.kind !== "searched") throw new Error(outcome.kind);
  const { best } = outcome.result;
  return best !== undefined && isMatch(outcome.result, matchRule) ? personOf(best.memberId) : null;
}

/** No machine is too slow. */
const { signal: never } = new AbortController();

await serveChild(openEngineLoad);
