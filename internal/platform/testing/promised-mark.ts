/** Begins the line that says how a promise was kept; `npm test` lists them at its end. */
export const promisedMark = "promised: ";
