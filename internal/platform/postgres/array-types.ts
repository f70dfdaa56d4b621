import type { PostgresType } from "postgres";

type Element = string | number | bigint | null;

/**
 * The arrays that statements give and get, for the driver: of one dimension; an element comes as text, NULL as null.
 * Arrays of other types cannot be given, and come as one text.
 *
 * Left to itself the driver asks each new connection for them, and nobody hears when that question fails: a server that dies at that
 * moment would end the process by an unhandled rejection.
 */
export const arrayTypes: Readonly<Record<string, PostgresType<readonly Element[]>>> = {
  bigints: arrayType(1016),
  texts: arrayType(1009),
  uuids: arrayType(2951),
};

/** An array's type by its number in `pg_type`. */
function arrayType(oid: number): PostgresType<readonly Element[]> {
  return { to: oid, from: [oid], serialize, parse };
}

/** Syntax: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
function serialize(elements: readonly Element[]): string {
  return `{${elements.map(literal).join()}}`;
}

function literal(element: Element): string {
  if (element === null) return "NULL";
  if (typeof element !== "string") return String(element);
  const isPlain = !element.includes('"') && !element.includes("\\");
  return `"${isPlain ? element : element.replace(/["\\]/g, String.raw`\$&`)}"`;
}

function parse(array: string): readonly Element[] {
  return Array.from(array.slice(1, -1).matchAll(/"((?:[^"\\]|\\.)*)"|[^,]+/gs), ([bare, quoted]) => {
    if (quoted !== undefined) return quoted.replace(/\\(.)/gs, "$1");
    return bare === "NULL" ? null : bare;
  });
}
