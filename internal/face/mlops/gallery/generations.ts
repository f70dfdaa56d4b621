import type { Database } from "../../../platform/postgres/database.ts";
import type { GalleryId } from "../../shared/gallery.ts";
import type { GalleryStore, StoredGallery } from "./store.ts";

/** Galleries that are read at a time. */
const pageGalleries = 500;

/**
 * All galleries of branches that a face store may hold, which need not be there: each with its former generations, as an old store has them, and the next, as a renewal
 * makes it.
 */
export async function galleriesAt(
  { database, galleries }: GenerationsDeps,
  branchIds: readonly string[],
): Promise<readonly GalleryId[]> {
  return (await galleries.atBranches(database.sql, branchIds)).flatMap(generationsOf);
}

/** The same of all branches, page by page. */
export async function* allGalleries({ database, galleries }: GenerationsDeps): AsyncGenerator<readonly GalleryId[]> {
  for (let last: StoredGallery | undefined; ;) {
    const page = await galleries.page(database.sql, last, pageGalleries);
    last = page.at(-1);
    if (last === undefined) return;
    yield page.flatMap(generationsOf);
  }
}

interface GenerationsDeps {
  readonly database: Pick<Database, "sql">;
  readonly galleries: Pick<GalleryStore, "atBranches" | "page">;
}

function generationsOf({ branchId, modelId, generation: present }: StoredGallery): readonly GalleryId[] {
  return Array.from({ length: present + 1 }, (_, former) => ({ branchId, modelId, generation: former + 1 }));
}
