import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startMuinSubject } from "../counts/muin-subject.ts";
import type { RedisLoadOptions } from "../counts/redis-load.ts";
import { startRedisSubjects } from "../counts/redis-subject.ts";
import type { RpcLoadOptions } from "../counts/rpc-load.ts";
import { startChild } from "../harness/child.ts";
import type { LoadResult, RunLoad } from "../harness/load.ts";
import { summariseProfile } from "./cpu-profile.ts";

/** How the profiles are taken. */
export interface ProfileOptions {
  readonly windowMs: number;
  readonly callers: number;
  readonly counts: number;
}

/** A profiled process. */
export interface ProfileResult {
  readonly process: string;
  readonly load: string;
  /** The load that it was under, with the profiler's own cost. */
  readonly writesPerS: number;
  readonly summary: string;
}

/** Profiles Muin under saturation over Connect, and the write path alone. Start-up is in the profiles too. */
export async function runProfiles(options: ProfileOptions): Promise<readonly ProfileResult[]> {
  return [await profileMuin(options), await profileWriter(options)];
}

async function profileMuin({ windowMs, callers, counts }: ProfileOptions): Promise<ProfileResult> {
  await using folder = await createFolder();
  // Puts the profiler's flags between Bun and its script.
  const insert = `bun="$1"; shift; exec "$bun" --cpu-prof --cpu-prof-dir='${folder.path}' "$@"`;
  const subject = await startMuinSubject(counts, {}, ["sh", "-c", insert, "sh"]);
  let result: LoadResult;
  try {
    const load = await startChild<RunLoad, LoadResult>(join(import.meta.dir, "../counts/rpc-load.ts"), {
      lane: "connect-binary",
      url: subject.muin.http,
      apiKey: subject.muin.apiKey,
      callers,
      counts,
    } satisfies RpcLoadOptions);
    result = await load.ask({ windowMs });
    await load.close();
  } finally {
    await subject.close();
  }
  return {
    process: "muin",
    load: `Increment over Connect binary, ${callers} callers, ${counts} Counts, autocannon`,
    writesPerS: (result.acknowledged * 1000) / result.windowMs,
    summary: await summariseProfile(folder.path),
  };
}

async function profileWriter({ windowMs, callers, counts }: ProfileOptions): Promise<ProfileResult> {
  await using folder = await createFolder();
  const subjects = await startRedisSubjects(counts, { relayInside: false, generic: false });
  let result: LoadResult;
  try {
    const load = await startChild<RunLoad, LoadResult>(
      join(import.meta.dir, "../counts/redis-load.ts"),
      {
        way: "writer",
        countsUrl: subjects.countsUrl,
        eventsUrl: subjects.eventsUrl,
        callers,
        counts,
      } satisfies RedisLoadOptions,
      ["--cpu-prof", `--cpu-prof-dir=${folder.path}`],
    );
    result = await load.ask({ windowMs });
    await load.close();
  } finally {
    await subjects.close();
  }
  return {
    process: "client of the write path in process",
    load: `increments with request ids, ${callers} callers, ${counts} Counts, relay and consumer in another process`,
    writesPerS: (result.acknowledged * 1000) / result.windowMs,
    summary: await summariseProfile(folder.path),
  };
}

async function createFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "muin-profile-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
