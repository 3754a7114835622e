/**
 * The marks of one image, and every change that a person can make to them, as pure functions.
 *
 * A drawing never changes: each function returns a new one that shares the bitmaps that stayed as they were, or the
 * same one where nothing changed. So a history of drawings costs only what each step changed.
 */

import {
  added,
  area,
  type Bitmap,
  type Box,
  boxOf,
  cropped,
  cut,
  has,
  intersection,
  isEmpty,
  isSame,
  withoutHoles,
} from './bitmap'
import { componentsOf, type Raster } from './components'
import { smoothed } from './smooth'

export type Origin = 'machine' | 'person'

export interface Mark {
  readonly id: number
  readonly origin: Origin
  readonly bitmap: Bitmap
  /** Kind of defect; left out where the person named none. */
  readonly className?: string
}

export interface Drawing {
  readonly width: number
  readonly height: number
  /** In the order in which they were made. */
  readonly marks: readonly Mark[]
  readonly nextId: number
}

/** Values of a stored mask. */
export const DEFECT = 255

/** A drawing whose marks are the connected defects of a mask at image size. */
export function drawingOf(mask: Raster): Drawing {
  const marks = componentsOf(mask, DEFECT).map((bitmap, index) => ({
    id: index + 1,
    origin: 'machine' as const,
    bitmap,
  }))
  return { width: mask.width, height: mask.height, marks, nextId: marks.length + 1 }
}

export function emptyDrawing(width: number, height: number): Drawing {
  return { width, height, marks: [], nextId: 1 }
}

export function imageBox(drawing: Drawing): Box {
  return { x: 0, y: 0, width: drawing.width, height: drawing.height }
}

/** The mark at a pixel; of several the smallest, since a person points at it on purpose. */
export function markAt(drawing: Drawing, x: number, y: number): Mark | undefined {
  const found = drawing.marks.filter((mark) => has(mark.bitmap, x, y))
  return found.sort((a, b) => area(a.bitmap) - area(b.bitmap))[0]
}

export function withMark(drawing: Drawing, bitmap: Bitmap): Drawing {
  if (isEmpty(bitmap)) return drawing
  const mark: Mark = { id: drawing.nextId, origin: 'person', bitmap }
  return { ...drawing, marks: [...drawing.marks, mark], nextId: drawing.nextId + 1 }
}

export function withoutMark(drawing: Drawing, id: number): Drawing {
  const marks = drawing.marks.filter((mark) => mark.id !== id)
  return marks.length === drawing.marks.length ? drawing : { ...drawing, marks }
}

export function withoutMarks(drawing: Drawing): Drawing {
  return drawing.marks.length === 0 ? drawing : { ...drawing, marks: [] }
}

/** Add pixels to one mark. */
export function grown(drawing: Drawing, id: number, bitmap: Bitmap): Drawing {
  return changed(drawing, (mark) => (mark.id === id ? grownBitmap(mark.bitmap, bitmap) : mark.bitmap))
}

function grownBitmap(bitmap: Bitmap, more: Bitmap): Bitmap {
  const sum = added(bitmap, more)
  return area(sum) === area(bitmap) ? bitmap : sum
}

/** Take pixels away from every mark; a mark without pixels is gone. */
export function carved(drawing: Drawing, bitmap: Bitmap): Drawing {
  return changed(drawing, (mark) => cut(mark.bitmap, bitmap))
}

/** Fill the holes of one mark. */
export function filled(drawing: Drawing, id: number): Drawing {
  return changed(drawing, (mark) => {
    if (mark.id !== id) return mark.bitmap
    const whole = withoutHoles(mark.bitmap)
    return area(whole) === area(mark.bitmap) ? mark.bitmap : whole
  })
}

/** Name the kind of one mark; an empty name takes it back. */
export function classed(drawing: Drawing, id: number, className: string): Drawing {
  const marks = drawing.marks.map((mark) =>
    mark.id === id && (mark.className ?? '') !== className ? { ...mark, className } : mark,
  )
  return marks.every((mark, index) => mark === drawing.marks[index]) ? drawing : { ...drawing, marks }
}

/** Replace the pixels of one mark; without pixels it is gone. */
export function reshaped(drawing: Drawing, id: number, change: (bitmap: Bitmap) => Bitmap): Drawing {
  return changed(drawing, (mark) => (mark.id === id ? change(mark.bitmap) : mark.bitmap))
}

/** Smooth the border of one mark. */
export function smoothedMark(drawing: Drawing, id: number): Drawing {
  return changed(drawing, (mark) => {
    if (mark.id !== id) return mark.bitmap
    const next = smoothed(mark.bitmap, imageBox(drawing))
    return isSame(next, mark.bitmap) ? mark.bitmap : next
  })
}

/** Move one mark by whole pixels; what leaves the image is gone. */
export function moved(drawing: Drawing, id: number, dx: number, dy: number): Drawing {
  return changed(drawing, (mark) => {
    if (mark.id !== id) return mark.bitmap
    const there = { ...mark.bitmap, x: mark.bitmap.x + dx, y: mark.bitmap.y + dy }
    return cropped(boxOf(there, intersection(there, imageBox(drawing))))
  })
}

/** Make a mark of each connected part of one mark; the first part keeps its number. */
export function split(drawing: Drawing, id: number): Drawing {
  const mark = drawing.marks.find((one) => one.id === id)
  if (!mark) return drawing
  const { x, y } = mark.bitmap
  const parts = componentsOf(mark.bitmap, 1).map((part) => ({ ...part, x: part.x + x, y: part.y + y }))
  const [first, ...others] = parts
  if (first === undefined || others.length === 0) return drawing
  const added = others.map((bitmap, index) => ({ ...mark, id: drawing.nextId + index, bitmap }))
  return {
    ...drawing,
    marks: [...drawing.marks.map((one) => (one === mark ? { ...mark, bitmap: first } : one)), ...added],
    nextId: drawing.nextId + others.length,
  }
}

/** Make one mark of two; it keeps the number of the first. */
export function merged(drawing: Drawing, id: number, other: number): Drawing {
  const [kept, gone] = [id, other].map((each) => drawing.marks.find((mark) => mark.id === each))
  if (kept === undefined || gone === undefined || kept === gone) return drawing
  return withoutMark(grown(drawing, id, gone.bitmap), other)
}

/** The mask of a drawing at image size: 255 where any mark is, else 0. */
export function maskOf(drawing: Drawing): Raster {
  const { width, height } = drawing
  const pixels = new Uint8Array(width * height)
  for (const { bitmap } of drawing.marks) {
    for (let row = 0; row < bitmap.height; row++) {
      const to = (bitmap.y + row) * width + bitmap.x
      for (let column = 0; column < bitmap.width; column++) {
        if (bitmap.pixels[row * bitmap.width + column] === 1) pixels[to + column] = DEFECT
      }
    }
  }
  return { width, height, pixels }
}

function changed(drawing: Drawing, change: (mark: Mark) => Bitmap): Drawing {
  let isUnchanged = true
  const marks = drawing.marks.flatMap((mark) => {
    const bitmap = change(mark)
    if (bitmap === mark.bitmap) return [mark]
    isUnchanged = false
    return isEmpty(bitmap) ? [] : [{ ...mark, bitmap }]
  })
  return isUnchanged ? drawing : { ...drawing, marks }
}
