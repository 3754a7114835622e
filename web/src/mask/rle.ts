/** Run lengths as in COCO: column by column, beginning with pixels outside. */

import type { Bitmap, Box } from './bitmap'

/** Lengths of the runs of a bitmap's box. */
export function runsOf(bitmap: Bitmap): number[] {
  const { width, height, pixels } = bitmap
  const runs: number[] = []
  let value = 0
  let length = 0
  for (let column = 0; column < width; column++) {
    for (let at = column; at < width * height; at += width) {
      if (pixels[at] !== value) {
        runs.push(length)
        length = 0
        value = 1 - value
      }
      length++
    }
  }
  if (length > 0) runs.push(length)
  return runs
}

/**
 * The bitmap of a box from its runs.
 *
 * Throws RangeError where the runs don't fill the box.
 */
export function bitmapOf(box: Box, runs: readonly number[]): Bitmap {
  const { x, y, width, height } = box
  const size = width * height
  const pixels = new Uint8Array(size)
  let at = 0
  runs.forEach((length, index) => {
    const end = at + length
    if (!Number.isInteger(length) || length < 0 || end > size) {
      throw new RangeError(`run ${index} of length ${length} does not fit into ${width}x${height} px`)
    }
    if (index % 2 === 1) {
      for (let i = at; i < end; i++) pixels[(i % height) * width + Math.floor(i / height)] = 1
    }
    at = end
  })
  if (at !== size) throw new RangeError(`runs of ${at} px do not fill ${width}x${height} px`)
  return { x, y, width, height, pixels }
}
