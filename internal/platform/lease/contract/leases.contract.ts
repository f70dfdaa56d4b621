import { afterAll, beforeAll, expect } from "bun:test";
import { describeContract, type Skip, type TestTable } from "../../testing/contract.ts";
import { eventually } from "../../testing/eventually.ts";
import { FencedError, type Leases, type LeaseTerm, type OpenLeases } from "../leases.ts";

/** A real server of leases. */
export interface TestLeasesServer extends AsyncDisposable {
  /** Leases of one process. */
  createLeases(instance: string): OpenLeases;
  /** Ends it by SIGKILL and starts it again on the same data. */
  crash(): Promise<void>;
}

interface LeasesUnderTest {
  readonly server: TestLeasesServer;
  /** Started leases, as of another process each. */
  readonly newLeases: () => Promise<OpenLeases>;
}

let names = 0;
const newLease = (): string => `lease-${++names}`;

/** A holder that notes its terms and works until its signal is aborted. */
function holder(leases: Leases, lease: string) {
  const terms: LeaseTerm[] = [];
  let isWorking = false;
  const component = leases.leaseholder(lease, async (term, signal) => {
    terms.push(term);
    isWorking = true;
    await aborted(signal);
    isWorking = false;
  });
  return { ...component, terms, isWorking: () => isWorking };
}

const tests: TestTable<LeasesUnderTest> = {
  "a lease has one holder at a time, and its next term a larger number": async ({ newLeases }) => {
    const [first, second, lease] = [await newLeases(), await newLeases(), newLease()];
    const [one, other] = [holder(first, lease), holder(second, lease)];
    await one.start();
    await eventually(() => expect(one.terms).toHaveLength(1));
    await other.start();
    // Another lease that the second takes shows that it has asked for this one too, and was told no.
    const free = holder(second, newLease());
    await free.start();
    await eventually(() => expect(free.terms).toHaveLength(1));
    expect(other.terms).toEqual([]);
    await one.stop();
    expect(one.isWorking()).toBe(false);
    await eventually(() => expect(other.terms).toHaveLength(1));
    expect(other.terms[0]?.number).toBeGreaterThan(one.terms[0]?.number ?? Number.NaN);
    await Promise.all([other.stop(), free.stop()]);
  },

  "a term is current until the next one begins": async ({ newLeases }) => {
    const [first, second, lease] = [await newLeases(), await newLeases(), newLease()];
    const [one, other] = [holder(first, lease), holder(second, lease)];
    await one.start();
    await eventually(() => expect(one.terms).toHaveLength(1));
    const [old] = one.terms as [LeaseTerm];
    await second.verify(old);
    await one.stop();
    await first.verify(old); // Nobody has come after it.
    await other.start();
    await eventually(() => expect(other.terms).toHaveLength(1));
    expect(await first.verify(old).catch((error: unknown) => error)).toBeInstanceOf(FencedError);
    await first.verify(other.terms[0]!);
    const neverBegun = first.verify({ lease: newLease(), number: 1 });
    expect(await neverBegun.catch((error: unknown) => error)).toBeInstanceOf(FencedError);
    await other.stop();
  },

  "work that ends by itself begins again, in a later term": async ({ newLeases }) => {
    const [leases, numbers] = [await newLeases(), [] as number[]];
    const component = leases.leaseholder(newLease(), ({ number }) => {
      numbers.push(number);
      return numbers.length % 2 === 0 ? Promise.reject(new Error("failed")) : Promise.resolve();
    });
    await component.start();
    await eventually(() => expect(numbers.length).toBeGreaterThan(2));
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    expect(new Set(numbers).size).toBe(numbers.length);
    await component.stop();
  },

  "terms outlive the server: none comes twice": async ({ server, newLeases }) => {
    const [leases, lease] = [await newLeases(), newLease()];
    const one = holder(leases, lease);
    await one.start();
    await eventually(() => expect(one.terms).toHaveLength(1));
    await one.stop();
    await server.crash();
    const other = holder(await newLeases(), lease);
    await other.start();
    await eventually(() => expect(other.terms).toHaveLength(1));
    expect(other.terms[0]?.number).toBeGreaterThan(one.terms[0]?.number ?? Number.NaN);
    await other.stop();
  },
};

/** What all leases must do, seen from several processes of one server. `skip` names tests that do not hold, and why. */
export function describeLeases(
  name: string,
  startServer: () => Promise<TestLeasesServer>,
  { skip }: { readonly skip: readonly Skip[] },
): void {
  describeContract(name, { tests: [tests], skip }, () => {
    let server: TestLeasesServer;
    const opened = new Set<OpenLeases>();
    beforeAll(async () => {
      server = await startServer();
    });
    afterAll(async () => {
      await Promise.all([...opened].map((leases) => leases.stop()));
      await server[Symbol.asyncDispose]();
    });
    const newLeases = async (): Promise<OpenLeases> => {
      const leases = server.createLeases(`instance-${++names}`);
      opened.add(leases);
      await leases.start();
      return leases;
    };
    return () => ({ server, newLeases });
  });
}

/** Resolves when the signal is aborted. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
