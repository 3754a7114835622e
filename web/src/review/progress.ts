/** How many captures of a line are answered, also between two readings of the review. */

/**
 * Counts the answers that the console named, and those stored since.
 *
 * @param answered as the console named it.
 * @param waiting captures that the console named with it, which then had no answer.
 * @param done captures that were answered on this page.
 */
export function answeredNow(answered: number, waiting: readonly string[], done: ReadonlySet<string>): number {
  return answered + waiting.filter((capture) => done.has(capture)).length
}
