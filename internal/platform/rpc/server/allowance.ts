import type { Clock } from "../../clock/clock.ts";

/** So many at once, and so many more each second. */
export class Allowance {
  readonly #most: number;
  readonly #perMs: number;
  readonly #clock: Pick<Clock, "monotonic">;
  #left: number;
  #sinceMs: number;

  constructor(most: number, perS: number, clock: Pick<Clock, "monotonic">) {
    this.#most = most;
    this.#perMs = perS / 1000;
    this.#clock = clock;
    this.#left = most;
    this.#sinceMs = clock.monotonic();
  }

  /** Takes one, or what else something costs; `false`, and nothing is taken, when there is not so much left. */
  take(cost = 1): boolean {
    const now = this.#clock.monotonic();
    this.#left = Math.min(this.#most, this.#left + (now - this.#sinceMs) * this.#perMs);
    this.#sinceMs = now;
    if (this.#left < cost) return false;
    this.#left -= cost;
    return true;
  }

  /** Gives back one that was taken. */
  give(): void {
    this.#left = Math.min(this.#most, this.#left + 1);
  }
}
