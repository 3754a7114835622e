/** Captures that teacher and segmenter decide differently. */

import type { Finding, ListedCapture } from '../api/captures'

export interface Difference {
  readonly capture: ListedCapture
  readonly teacher: Finding
  readonly segmenter: Finding
}

/**
 * Choose the captures whose decision by the segmenter's verdict is not that of the teacher's pseudo-mask.
 *
 * @param captures newest first.
 * @param segmenters names of the line's segmenters.
 * @param product only of this one.
 */
export function differences(
  captures: readonly ListedCapture[],
  segmenters: ReadonlySet<string>,
  product: string,
): readonly Difference[] {
  return captures.flatMap((capture) => {
    const { verdict, pseudo_mask } = capture
    if (capture.product !== product || !verdict || !pseudo_mask || !segmenters.has(verdict.weights)) return []
    if (rejects(verdict) === rejects(pseudo_mask)) return []
    return [{ capture, teacher: pseudo_mask, segmenter: verdict }]
  })
}

export function rejects({ score, threshold }: Finding): boolean {
  return score >= threshold
}
