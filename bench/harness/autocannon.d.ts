declare module "autocannon" {
  /** As the package passes it to `setupRequest` and takes it back. */
  interface RequestData {
    path: string;
    body: Buffer;
  }
  interface Options {
    readonly url: string;
    readonly connections: number;
    /** Seconds. */
    readonly duration: number;
    /** Milliseconds between two looks at whether the time is over. */
    readonly sampleInt: number;
    readonly method: "POST";
    readonly headers: Readonly<Record<string, string>>;
    readonly requests: readonly { readonly setupRequest: (request: RequestData) => RequestData }[];
  }
  interface Result {
    readonly "2xx": number;
    readonly non2xx: number;
    readonly errors: number;
    readonly timeouts: number;
    /** Seconds. */
    readonly duration: number;
    readonly latency: { readonly p50: number; readonly p99: number; readonly max: number };
  }
  const autocannon: (options: Options) => Promise<Result>;
  // oxlint-disable-next-line import/no-default-export -- The package's own form.
  export default autocannon;
}
