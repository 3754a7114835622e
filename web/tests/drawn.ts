/** An annotator with one mark, and strokes on it. */

import { Annotator } from '../src/annotator/annotator'
import { area } from '../src/mask/bitmap'
import { drawingOf } from '../src/mask/drawing'

export const settings = { tool: 'brush', diameter: 3 } as const

/** An annotator of a 20x10 image with one mark of 4x4 px at (2, 2). */
export function begin(): Annotator {
  const pixels = new Uint8Array(200)
  for (let y = 2; y < 6; y++) pixels.fill(255, y * 20 + 2, y * 20 + 6)
  return Annotator.of(drawingOf({ width: 20, height: 10, pixels }), settings)
}

export function stroke(annotator: Annotator, points: [number, number][], isNew = false): void {
  const [first, ...rest] = points as [[number, number], ...[number, number][]]
  annotator.beginStroke(...first, isNew)
  for (const point of rest) annotator.extendStroke(...point)
  annotator.endStroke()
}

export const areas = (annotator: Annotator) => annotator.drawing.marks.map((mark) => area(mark.bitmap))
