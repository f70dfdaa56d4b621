/**
 * The ids that begin with `prefix`, as a range that an index serves: from `first`, included, to `end`, not included. Ids are of
 * a-z 0-9 . _ - and compared byte by byte, so that the last character of a prefix has a successor and all ids lie below "~".
 */
export function idsWith(prefix: string): { readonly first: string; readonly end: string } {
  if (prefix === "") return { first: "", end: "~" };
  const last = prefix.length - 1;
  return { first: prefix, end: prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1) };
}
