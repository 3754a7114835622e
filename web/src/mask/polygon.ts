/** Pixels inside a polygon, by the integer rule that `siad/vision/mask_objects.py` repeats. */

import { type Bitmap, type Box, cropped, EMPTY, intersection, isEmpty } from './bitmap'
import type { HalfPoint } from './stroke'

/** Largest whole number not above a quotient of whole numbers; `by` is over 0. */
function floorDivided(value: number, by: number): number {
  const quotient = Math.floor(value / by)
  // the division rounds: correct by the exact remainder
  if (quotient * by > value) return quotient - 1
  return (quotient + 1) * by <= value ? quotient + 1 : quotient
}

/**
 * Fill a polygon by the even-odd rule.
 *
 * A pixel belongs to it where a ray from its centre to the left crosses the outline an odd number of times; a crossing
 * at the centre itself counts. Points are in half pixels, the last joins the first.
 */
export function polygonOf(points: readonly HalfPoint[], image: Box): Bitmap {
  if (points.length < 3) return EMPTY
  const xs = points.map((point) => point.x)
  const ys = points.map((point) => point.y)
  const left = Math.floor(Math.min(...xs) / 2)
  const top = Math.floor(Math.min(...ys) / 2)
  const box = intersection(
    {
      x: left,
      y: top,
      width: Math.ceil(Math.max(...xs) / 2) - left,
      height: Math.ceil(Math.max(...ys) / 2) - top,
    },
    image,
  )
  if (isEmpty(box)) return EMPTY
  const pixels = new Uint8Array(box.width * box.height)
  for (let row = 0; row < box.height; row++) {
    const starts = crossings(points, 2 * (box.y + row) + 1)
    for (let i = 0; i + 1 < starts.length; i += 2) {
      const from = Math.max(0, (starts[i] ?? 0) - box.x)
      const to = Math.min(box.width, (starts[i + 1] ?? 0) - box.x)
      if (from < to) pixels.fill(1, row * box.width + from, row * box.width + to)
    }
  }
  return cropped({ ...box, pixels })
}

/** First pixel at or right of each crossing of a row, in order; `row` is odd, in half pixels. */
function crossings(points: readonly HalfPoint[], row: number): number[] {
  const found: number[] = []
  points.forEach((a, index) => {
    const b = points[(index + 1) % points.length] ?? a
    if (a.y <= row === b.y <= row) return
    const [low, high] = a.y < b.y ? [a, b] : [b, a]
    const rise = high.y - low.y
    // the crossing is at x = low.x + along / rise; the first centre 2n+1 >= x has n = ceil((x - 1) / 2)
    const along = (row - low.y) * (high.x - low.x)
    found.push(-floorDivided(-(along + (low.x - 1) * rise), 2 * rise))
  })
  return found.sort((one, other) => one - other)
}
