import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { takeFileLock } from "../../platform/local/file-lock.ts";
import { runToEnd, toolFolder } from "../run-program.ts";

/** The packages with those they need, each at one version and with the checksums that PyPI has for it. */
const requirements = join(import.meta.dir, "requirements.txt");
/** Pause between two looks whether another process has finished its installation. */
const lockPollMs = 500;

/**
 * Installs what `requirements.txt` names into an environment of the user's cache folder, once per user, and returns the folder of its
 * programs. Rejects where Python, its venv or the packages cannot be had.
 */
export async function installPythonTools(): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256").update(await Bun.file(requirements).bytes()).digest("hex");
  const folder = toolFolder(`python-tools-${hash.slice(0, 12)}`);
  const installed = Bun.file(join(folder, "installed"));
  if (await installed.exists()) return join(folder, "bin");
  await mkdir(folder, { recursive: true });
  let lock = takeFileLock(`${folder}.lock`);
  for (; lock === undefined; lock = takeFileLock(`${folder}.lock`)) await Bun.sleep(lockPollMs);
  try {
    if (await installed.exists()) return join(folder, "bin"); // Another process was first.
    await rm(folder, { recursive: true, force: true }); // Left by one that was interrupted.
    await runToEnd(["python3", "-m", "venv", folder]);
    const pip = [join(folder, "bin/pip"), "install", "--disable-pip-version-check", "--no-input", "--quiet"];
    await runToEnd([...pip, "--require-hashes", "--only-binary=:all:", "--requirement", requirements]);
    await Bun.write(installed, "");
    return join(folder, "bin");
  } finally {
    lock.release();
  }
}
