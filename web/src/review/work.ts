/** What became of each mark, as the record of a correction holds it. */

import { area, isSame } from '../mask/bitmap'
import type { Drawing, Mark } from '../mask/drawing'
import type { History } from '../mask/history'

export type Fate = 'kept' | 'reshaped' | 'deleted' | 'added'

export interface MarkedObject {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  readonly area_px: number
  readonly origin: 'machine' | 'person'
  readonly fate: Fate
  readonly class_name: string
}

/** As many as the console keeps; of more marks the largest. */
export const OBJECTS_MAX = 200

/** Compare the drawing with what was shown first. Of a good part no mark is left. */
export function objectsOf(history: History<Drawing>, isGood = false): MarkedObject[] {
  const marks = isGood ? [] : history.present.marks
  const shown = new Map((history.past[0] ?? history.present).marks.map((mark) => [mark.id, mark]))
  const kept = marks.map((mark) => {
    const first = shown.get(mark.id)
    return objectOf(mark, first ? (isSame(first.bitmap, mark.bitmap) ? 'kept' : 'reshaped') : 'added')
  })
  const there = new Set(marks.map((mark) => mark.id))
  const deleted = [...shown.values()].filter(({ id }) => !there.has(id))
  return [...kept, ...deleted.map((mark) => objectOf(mark, 'deleted'))]
    .sort((a, b) => b.area_px - a.area_px)
    .slice(0, OBJECTS_MAX)
}

function objectOf({ bitmap, origin, className = '' }: Mark, fate: Fate): MarkedObject {
  const { x, y, width, height } = bitmap
  return { x, y, width, height, area_px: area(bitmap), origin, fate, class_name: className }
}
