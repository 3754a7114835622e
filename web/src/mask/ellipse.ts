/** Pixels inside an ellipse, by the integer rule that `siad/vision/mask_objects.py` repeats. */

import { type Bitmap, type Box, cropped, EMPTY, intersection, isEmpty } from './bitmap'
import { type HalfPoint, integerRoot } from './stroke'

/**
 * Fill the ellipse that touches the sides of a box.
 *
 * A pixel belongs to it where its centre is inside or on it. Both corners of the box are in half pixels, in any order;
 * a box without width or height has no pixel.
 */
export function ellipseOf(one: HalfPoint, other: HalfPoint, image: Box): Bitmap {
  const width = Math.abs(one.x - other.x)
  const height = Math.abs(one.y - other.y)
  if (width === 0 || height === 0) return EMPTY
  const left = Math.floor(Math.min(one.x, other.x) / 2)
  const top = Math.floor(Math.min(one.y, other.y) / 2)
  const right = Math.ceil(Math.max(one.x, other.x) / 2)
  const bottom = Math.ceil(Math.max(one.y, other.y) / 2)
  const box = intersection({ x: left, y: top, width: right - left, height: bottom - top }, image)
  if (isEmpty(box)) return EMPTY
  const pixels = new Uint8Array(box.width * box.height)
  for (let row = 0; row < box.height; row++) {
    const v = 2 * (2 * (box.y + row) + 1) - one.y - other.y
    if (Math.abs(v) > height) continue
    // u*u / width^2 + v*v / height^2 <= 1, where u is twice the distance from the middle
    const reach = integerRoot(
      (BigInt(width) * BigInt(width) * BigInt(height * height - v * v)) / BigInt(height * height),
    )
    for (let column = 0; column < box.width; column++) {
      const u = 2 * (2 * (box.x + column) + 1) - one.x - other.x
      if (Math.abs(u) <= reach) pixels[row * box.width + column] = 1
    }
  }
  return cropped({ ...box, pixels })
}
