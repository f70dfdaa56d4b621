/** Where metrics are made. Names are given without the prefix "muin_"; asking twice for one name returns the same metric. */
export interface Metrics {
  /** A number that only grows. */
  counter<L extends string = never>(options: MetricOptions<L>): Counter<L>;
  /** A number that is set. */
  gauge<L extends string = never>(options: MetricOptions<L>): Gauge<L>;
  /** A distribution; `buckets` are upper bounds in the unit of the name, which ends in "_seconds" or "_bytes". */
  histogram<L extends string = never>(
    options: MetricOptions<L> & { readonly buckets: readonly number[] },
  ): Histogram<L>;
}

/** Names and describes a metric. */
export interface MetricOptions<L extends string> {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly L[];
}

type Labels<L extends string> = [L] extends [never] ? [] : [labels: Readonly<Record<L, string>>];

/** A number that only grows. */
export interface Counter<L extends string = never> {
  add(value: number, ...labels: Labels<L>): void;
}

/** A number that is set. */
export interface Gauge<L extends string = never> {
  set(value: number, ...labels: Labels<L>): void;
}

/** A distribution. */
export interface Histogram<L extends string = never> {
  observe(value: number, ...labels: Labels<L>): void;
}
