import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { GalleryId } from "../../shared/gallery.ts";
import { galleryKeys, namesOf } from "../../shared/key-schema.ts";

/** Names that one command reads: well below a millisecond of Redis' time. */
const pageNames = 500;

/** Where names of a gallery's faces stand. */
export type NamesSource = "set" | "copy" | "names";

/**
 * The names of a gallery's faces in one of the places where they stand, page by page; of one person, where one is named (empty: of all). A page may be empty, and a
 * name may come twice.
 */
export async function* galleryNames(
  { client }: RedisStore,
  gallery: GalleryId,
  source: NamesSource,
  memberId = "",
): AsyncGenerator<readonly string[]> {
  const keys = galleryKeys(gallery);
  const [min, max] = memberId === "" ? ["-", "+"] : namesOf(memberId);
  if (source === "copy") {
    const match = memberId === "" ? [] : ["MATCH", `${min.slice(1)}*`];
    for (let cursor = "0", isFirst = true; isFirst || cursor !== "0"; isFirst = false) {
      const [next, names] = (await client.call(
        "HSCAN",
        keys.copy,
        cursor,
        ...match,
        "COUNT",
        pageNames,
        "NOVALUES",
      )) as [string, string[]];
      cursor = next;
      yield names;
    }
    return;
  }
  for (let after: string | undefined; ;) {
    const from = after === undefined ? min : `(${after}`;
    const names =
      source === "set"
        ? ((await client.call("VRANGE", keys.set, from, max, pageNames)) as string[])
        : await client.zrange(keys.names, from, max, "BYLEX", "LIMIT", 0, pageNames);
    yield names;
    after = names.at(-1);
    if (after === undefined) return;
  }
}
