/** Rows asked for at once. */
const pageSize = 500;

/** All rows of a list that comes in pages. */
export async function* everyRow<T>(
  read: (page: { readonly pageSize: number; readonly pageToken: string }) => Promise<{
    readonly rows: readonly T[];
    readonly nextPageToken: string;
  }>,
): AsyncGenerator<T> {
  let pageToken = "";
  do {
    const { rows, nextPageToken } = await read({ pageSize, pageToken });
    yield* rows;
    pageToken = nextPageToken;
  } while (pageToken !== "");
}
