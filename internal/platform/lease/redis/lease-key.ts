/** Hash of a lease in the coordination Redis: number of its term, holder, and the end in milliseconds of the server's clock. */
export function leaseKey(lease: string): string {
  return `coordination:lease:${lease}`;
}

/** Pattern of a service's leases, whose names begin with its own and a colon, for ACL rules. */
export function leasePattern(service: string): string {
  return leaseKey(`${service}:*`);
}
