/** Yields one value. */
export async function* single<T>(value: T): AsyncIterable<T> {
  yield value;
}
