/** Pause between two checks: short enough that a test does not notice it. */
const pauseMs = 20;

/**
 * Runs `check` again and again until it stops throwing, and returns what it returns; rejects with its last error after
 * `timeoutMs` (default 10 000), or once `unless` says that waiting is in vain. For conditions that have no signal to wait for.
 */
export async function eventually<T>(
  check: () => Promise<T> | T,
  options: { readonly timeoutMs?: number; unless?(): boolean } = {},
): Promise<T> {
  const endMs = performance.now() + (options.timeoutMs ?? 10_000);
  for (;;) {
    const vain = options.unless?.() === true;
    try {
      return await check();
    } catch (error) {
      if (vain || performance.now() >= endMs) throw error;
    }
    await Bun.sleep(pauseMs);
  }
}
