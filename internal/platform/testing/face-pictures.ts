import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { retry } from "../lifecycle/retry.ts";

/** The release of PyPI's face_recognition whose test pictures are used. */
const release = "1.3.0";
const sha256 = "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec";
const archive = `face_recognition-${release}.tar.gz`;
const inside = `face_recognition-${release}/tests/test_images`;

/** Attempts at the download, each with pip's own retries. */
const downloadsMax = 3;

/**
 * Folder of photographs of faces: `obama.jpg`, `obama2.jpg`, `obama3.jpg`, `obama_partial_face.jpg` of one public person, `biden.jpg` of another.
 * They are in PyPI's `face_recognition` (MIT), whose source distribution of the pinned SHA-256 is fetched through pip once per user and kept in
 * `$XDG_CACHE_HOME/muin/face-pictures-1.3.0` (default `~/.cache`). Needs python3 with pip, and tar.
 */
export async function provideFacePictures(): Promise<string> {
  const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "muin");
  const kept = join(cache, `face-pictures-${release}`);
  if (await Bun.file(join(kept, "biden.jpg")).exists()) return kept;
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
    await run(["tar", "-xzf", join(work, archive), "-C", work, inside]);
    // There as a whole or not at all, whoever else fetches them.
    await rename(join(work, inside), kept).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return kept;
}

/** Fetches the archive into a folder through pip, which refuses any other content before it looks into it. */
async function download(folder: string): Promise<void> {
  const requirements = join(folder, "requirements.txt");
  await Bun.write(requirements, `face_recognition==${release} --hash=sha256:${sha256}\n`);
  const pip = ["python3", "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-deps"];
  await run([...pip, "--no-binary=:all:", "--require-hashes", "--requirement", requirements, "--dest", folder]);
}

async function run(command: readonly string[]): Promise<void> {
  const child = Bun.spawn([...command], { stdio: ["ignore", "ignore", "pipe"] });
  const said = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`"${command.slice(0, 4).join(" ")} ..." failed:\n${said}`);
}
