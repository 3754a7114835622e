/** One answer to many captures, and its undoing. */

import { type Correction, readCorrections } from '../api/captures'
import { ApiError, correct, type ReviewItem, readMask, type Verdict } from '../api/client'
import { drawingOf, maskOf } from '../mask/drawing'
import { begun } from '../mask/history'
import { encodePng } from '../mask/png'
import { rasterOf } from '../review/capture'
import { objectsOf } from '../review/work'

/** A capture and the revision of its answer that the person saw; 0 without one. */
export interface Chosen {
  readonly item: ReviewItem
  readonly revision: number
}

/** What became of one capture. */
export interface Outcome extends Chosen {
  readonly verdict: Verdict
  /** The newest revision that this page knows: a later answer may have been undone. */
  readonly newest: number
}

export interface BulkResult {
  readonly stored: readonly Outcome[]
  readonly refused: readonly { readonly item: ReviewItem; readonly error: Error }[]
}

/** A capture without marks can't be accepted as a defect. */
export class NoMarksError extends Error {
  override readonly name = 'NoMarksError'
}

type Step<T> = (one: T) => Promise<Outcome>

/** Take one capture after the other; without the console the rest is left. */
async function each<T extends Chosen>(
  all: readonly T[],
  step: Step<T>,
  onStep: (done: number) => void,
): Promise<BulkResult> {
  const stored: Outcome[] = []
  const refused: { item: ReviewItem; error: Error }[] = []
  for (const [index, one] of all.entries()) {
    try {
      stored.push(await step(one))
    } catch (error) {
      refused.push({ item: one.item, error: error as Error })
      if (error instanceof ApiError && (error.isPassing || error.status === 401)) {
        refused.push(...all.slice(index + 1).map(({ item }) => ({ item, error })))
        break
      }
    }
    onStep(index + 1)
  }
  return { stored, refused }
}

/** Call each a defect as the machine marked it, or good. An answer that came meanwhile is not overwritten. */
export function answerAll(
  chosen: readonly Chosen[],
  verdict: 'defect' | 'good',
  author: string,
  onStep: (done: number) => void,
): Promise<BulkResult> {
  const step = async ({ item, revision }: Chosen): Promise<Outcome> => {
    const png = await readMask(item).catch((error) => {
      if (verdict === 'good' && error instanceof ApiError && error.status === 404) return null
      throw error
    })
    const drawing = png && drawingOf(await rasterOf(png))
    if (verdict === 'defect' && !drawing?.marks.length) throw new NoMarksError()
    const work = { objects: drawing ? objectsOf(begun(drawing), verdict === 'good') : [] }
    const mask = verdict === 'defect' && drawing ? await encodePng(maskOf(drawing)) : null
    const stored = await correct(item, { verdict, author, mask, revision, work })
    return { item, revision: stored, newest: stored, verdict }
  }
  return each(chosen, step, onStep)
}

/** Answers that changed something, with the revision before; only these can be undone. */
export function changesOf(chosen: readonly Chosen[], stored: readonly Outcome[]): readonly Outcome[] {
  const before = new Map(chosen.map(({ item, revision }) => [item.capture_id, revision]))
  return stored.filter(({ item, revision }) => revision > (before.get(item.capture_id) ?? 0))
}

/** What an answer is undone by: the revision before it, or unsure. */
export function beforeOf(corrections: readonly Correction[], revision: number): Correction | null {
  return corrections.filter((one) => one.revision < revision).at(-1) ?? null
}

/** Earlier answers, which say again what counts since later ones were undone. */
export function afterUndo(earlier: readonly Outcome[], undone: readonly Outcome[]): readonly Outcome[] {
  const newest = new Map(undone.map(({ item, revision }) => [item.capture_id, revision]))
  return earlier.map((one) => ({ ...one, newest: newest.get(one.item.capture_id) ?? one.newest }))
}

/** Store what was said before each answer as a newer revision; unsure where there was nothing. */
export function undoAll(
  outcomes: readonly Outcome[],
  author: string,
  onStep: (done: number) => void,
): Promise<BulkResult> {
  const step = async ({ item, revision, newest }: Outcome): Promise<Outcome> => {
    const before = beforeOf(await readCorrections(item), revision)
    const verdict = before?.verdict ?? 'unsure'
    const mask = before ? await readMask({ ...item, mask_uri: before.mask_uri }) : null
    const work = { objects: before?.objects ?? [] }
    const of = { ...item, selection: before?.selection ?? item.selection }
    const stored = await correct(of, { verdict, author, mask, revision: newest, work })
    return { item, verdict, revision: stored, newest: stored }
  }
  return each(outcomes, step, onStep)
}
