/** Steps that are under way at a time. */
const stepsMax = 64;

/** Does a step for each number from 0 below `count`, many at a time. */
export async function inTurns(count: number, step: (place: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    for (let place = next++; place < count; place = next++) await step(place);
  };
  await Promise.all(Array.from({ length: stepsMax }, work));
}
