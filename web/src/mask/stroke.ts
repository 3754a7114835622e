/**
 * Pixels under a round brush, by one integer rule that `siad/vision/mask_objects.py` repeats.
 *
 * Points are in half pixels: the centre of pixel (x, y) is (2x+1, 2y+1), its corners are even. A pixel belongs to a
 * stroke where its centre is at most half the diameter away from the line between two following points. Every
 * comparison is between integers, so no rounding can differ between two machines.
 */

import { type Bitmap, type Box, cropped, EMPTY, intersection, isEmpty } from './bitmap'

/** A point in half pixels of the image; both are integers. */
export interface HalfPoint {
  readonly x: number
  readonly y: number
}

/** Largest n with n*n <= value, for whole numbers beyond 2^53 too. */
export function integerRoot(value: bigint): number {
  let root = BigInt(Math.floor(Math.sqrt(Number(value))))
  while (root * root > value) root -= 1n
  while ((root + 1n) * (root + 1n) <= value) root += 1n
  return Number(root)
}

/**
 * The half point that a brush of this diameter is put on.
 *
 * A brush of an odd diameter has a pixel in its middle, one of an even diameter a corner between pixels.
 */
export function snap(x: number, y: number, diameter: number): HalfPoint {
  return diameter % 2 === 1
    ? { x: 2 * Math.floor(x) + 1, y: 2 * Math.floor(y) + 1 }
    : { x: 2 * Math.round(x), y: 2 * Math.round(y) }
}

/** Box of pixels that a capsule may touch, within the image. */
export function capsuleBox(a: HalfPoint, b: HalfPoint, diameter: number, image: Box): Box {
  const x = Math.floor((Math.min(a.x, b.x) - diameter) / 2)
  const y = Math.floor((Math.min(a.y, b.y) - diameter) / 2)
  const right = Math.ceil((Math.max(a.x, b.x) + diameter) / 2)
  const bottom = Math.ceil((Math.max(a.y, b.y) + diameter) / 2)
  return intersection({ x, y, width: right - x, height: bottom - y }, image)
}

/** Set the pixels of a capsule in a bitmap under construction. Returns the box that was looked at. */
export function paintCapsule(target: Bitmap, a: HalfPoint, b: HalfPoint, diameter: number): Box {
  const box = capsuleBox(a, b, diameter, target)
  const dx = b.x - a.x
  const dy = b.y - a.y
  const length2 = dx * dx + dy * dy
  const reach2 = diameter * diameter
  const crossMax = integerRoot(BigInt(reach2) * BigInt(length2))
  for (let y = box.y; y < box.y + box.height; y++) {
    const wy = 2 * y + 1 - a.y
    const row = (y - target.y) * target.width - target.x
    for (let x = box.x; x < box.x + box.width; x++) {
      const wx = 2 * x + 1 - a.x
      const along = wx * dx + wy * dy
      let isInside: boolean
      if (along <= 0) isInside = wx * wx + wy * wy <= reach2
      else if (along >= length2) isInside = (wx - dx) * (wx - dx) + (wy - dy) * (wy - dy) <= reach2
      else isInside = Math.abs(wx * dy - wy * dx) <= crossMax
      if (isInside) target.pixels[row + x] = 1
    }
  }
  return box
}

/** Pixels of a whole stroke: a disc for one point, capsules between the points of more. */
export function strokeOf(points: readonly HalfPoint[], diameter: number, image: Box): Bitmap {
  const [first, ...rest] = points
  if (first === undefined) return EMPTY
  let box = capsuleBox(first, first, diameter, image)
  for (const point of rest) {
    const next = capsuleBox(point, point, diameter, image)
    const x = Math.min(box.x, next.x)
    const y = Math.min(box.y, next.y)
    box = {
      x,
      y,
      width: Math.max(box.x + box.width, next.x + next.width) - x,
      height: Math.max(box.y + box.height, next.y + next.height) - y,
    }
  }
  const clipped = intersection(box, image)
  if (isEmpty(clipped)) return EMPTY
  const target = { ...clipped, pixels: new Uint8Array(clipped.width * clipped.height) }
  if (rest.length === 0) paintCapsule(target, first, first, diameter)
  let from = first
  for (const to of rest) {
    paintCapsule(target, from, to, diameter)
    from = to
  }
  return cropped(target)
}
