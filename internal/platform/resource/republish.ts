/** What came of a page of aggregates whose state was recorded again. */
export interface RepublishedPage {
  /** Id of the page's last aggregate; empty when there was none. */
  readonly last: string;
  /** Aggregates whose event was recorded. */
  readonly recorded: number;
}

/**
 * Records the present state of all aggregates again, page after page in the order of their ids. `page` gets the id after which it
 * begins, empty for the first, and records in a transaction of its own. Returns how many were recorded.
 */
export async function republishAll(page: (after: string) => Promise<RepublishedPage>): Promise<number> {
  for (let total = 0, after = ""; ;) {
    const { last, recorded } = await page(after);
    total += recorded;
    if (last === "") return total;
    after = last;
  }
}
