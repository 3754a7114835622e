/** A capture of a list as the annotator takes it. */

import type { ListedCapture } from '../api/captures'
import type { ReviewItem } from '../api/client'
import { text } from '../text'

/** Null where no weights have judged it yet. */
export function itemOf(capture: ListedCapture, shown: ReviewItem | undefined): ReviewItem | null {
  if (shown && !capture.answer) return shown
  const finding = capture.verdict ?? capture.pseudo_mask
  if (!finding) return null
  return {
    capture_id: capture.capture_id,
    line: capture.line,
    product: capture.product,
    serial: capture.serial,
    captured_at: capture.captured_at,
    mask_uri: finding.mask_uri,
    weights: finding.weights,
    score: finding.score,
    threshold: finding.threshold,
    decision: finding.score >= finding.threshold ? 'reject' : 'pass',
    selection: null,
    reason: deferredBy(capture),
  }
}

/** People who put an open capture off, and why; empty: none did. */
export function deferredBy(capture: ListedCapture): string {
  return capture.answer
    ? ''
    : capture.deferrals.map(({ person, reason }) => text.deferrals.shown(person, reason)).join('; ')
}
