/** Two masks of one image: where they differ, and one drawing of both. */

import type { Bitmap } from './bitmap'
import { cropped } from './bitmap'
import { componentsOf, type Raster } from './components'
import { classed, DEFECT, type Drawing, maskOf, withMark } from './drawing'

export const BOTH = 1
export const MINE = 2
export const THEIRS = 3

export interface Difference extends Raster {
  /** Pixels of each kind. */
  readonly both: number
  readonly mine: number
  readonly theirs: number
}

/** Compare two masks of equal size; each pixel is none (0), in both, in mine alone, or in theirs alone. */
export function differenceOf(mine: Raster, theirs: Raster): Difference {
  const pixels = new Uint8Array(mine.pixels.length)
  const counts = [0, 0, 0, 0]
  for (let at = 0; at < pixels.length; at++) {
    const isMine = mine.pixels[at] === DEFECT
    const isTheirs = theirs.pixels[at] === DEFECT
    const kind = isMine ? (isTheirs ? BOTH : MINE) : isTheirs ? THEIRS : 0
    pixels[at] = kind
    counts[kind] = (counts[kind] ?? 0) + 1
  }
  const [, both = 0, onlyMine = 0, onlyTheirs = 0] = counts
  return { width: mine.width, height: mine.height, pixels, both, mine: onlyMine, theirs: onlyTheirs }
}

/** A mark as another answer lists it. */
export interface ListedMark {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  readonly fate: string
  readonly class_name: string
}

/** Add what another mask has more, each connected part as a mark with the class of the smallest box around it. */
export function withTheirs(drawing: Drawing, theirs: Raster, marks: readonly ListedMark[] = []): Drawing {
  const missing = differenceOf(maskOf(drawing), theirs)
  const boxes = marks
    .filter((mark) => mark.fate !== 'deleted')
    .sort((a, b) => a.width * a.height - b.width * b.height)
  return componentsOf(missing, THEIRS).reduce((grown, part) => {
    const next = withMark(grown, cropped(part))
    const className = boxes.find((box) => holds(box, part))?.class_name ?? ''
    return className ? classed(next, grown.nextId, className) : next
  }, drawing)
}

function holds(box: ListedMark, part: Bitmap): boolean {
  const isBeside = part.x < box.x || part.y < box.y
  return !isBeside && part.x + part.width <= box.x + box.width && part.y + part.height <= box.y + box.height
}
