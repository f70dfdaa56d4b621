/** Hash of a lease in the coordination Redis: number of its term, holder, and the end in milliseconds of the server's clock. */
export function leaseKey(lease: string): string {
  return `coordination:lease:${lease}`;
}
