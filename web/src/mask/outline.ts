/** Borders of marks, between pixels. */

import type { Bitmap } from './bitmap'

/** A straight piece of a border, in pixels of the image; one of its two lengths is 0. */
export interface Edge {
  readonly x1: number
  readonly y1: number
  readonly x2: number
  readonly y2: number
}

/** Every piece of border between a pixel of the mark and one outside, holes included; neighbours are joined. */
export function edgesOf(bitmap: Bitmap): Edge[] {
  const { x, y, width, height, pixels } = bitmap
  const at = (column: number, row: number) =>
    column < 0 || row < 0 || column >= width || row >= height ? 0 : (pixels[row * width + column] ?? 0)
  const edges: Edge[] = []
  for (let row = 0; row <= height; row++) {
    let start = -1
    for (let column = 0; column <= width; column++) {
      const isEdge = column < width && at(column, row) !== at(column, row - 1)
      if (isEdge && start < 0) start = column
      if (!isEdge && start >= 0) {
        edges.push({ x1: x + start, y1: y + row, x2: x + column, y2: y + row })
        start = -1
      }
    }
  }
  for (let column = 0; column <= width; column++) {
    let start = -1
    for (let row = 0; row <= height; row++) {
      const isEdge = row < height && at(column, row) !== at(column - 1, row)
      if (isEdge && start < 0) start = row
      if (!isEdge && start >= 0) {
        edges.push({ x1: x + column, y1: y + start, x2: x + column, y2: y + row })
        start = -1
      }
    }
  }
  return edges
}
