/** Marks along the map of scores: what the machine sees, at a threshold that a person moves. */

import { area, type Bitmap, type Box, cropped, dilated, EMPTY, eroded, intersection, isEmpty } from './bitmap'
import type { Raster } from './components'

/** Value of the map at the pixel threshold. */
export const AT_THRESHOLD = 64
/** Lower values are not stored. */
export const FLOOR = 16
const STEP = 1.08

/** A map of scores of an image, which may be smaller than the image. */
export class ScoreMap {
  readonly raster: Raster
  readonly image: Box

  constructor(raster: Raster, width: number, height: number) {
    this.raster = raster
    this.image = { x: 0, y: 0, width, height }
  }

  /** Score at the centre of a pixel of the image, bilinear where the map is smaller. */
  at(x: number, y: number): number {
    const { width, height, pixels } = this.raster
    if (width === this.image.width && height === this.image.height) return pixels[y * width + x] ?? 0
    const u = Math.min(width - 1, Math.max(0, ((x + 0.5) * width) / this.image.width - 0.5))
    const v = Math.min(height - 1, Math.max(0, ((y + 0.5) * height) / this.image.height - 0.5))
    const [left, top] = [Math.floor(u), Math.floor(v)]
    const [right, bottom] = [Math.min(left + 1, width - 1), Math.min(top + 1, height - 1)]
    const upper = mixed(pixels[top * width + left], pixels[top * width + right], u - left)
    const lower = mixed(pixels[bottom * width + left], pixels[bottom * width + right], u - left)
    return mixed(upper, lower, v - top)
  }

  /** Pixels that reach a level and are connected, by edge or corner, with a seed that reaches it. */
  above(level: number, seeds: Bitmap): Bitmap {
    const { width, height } = this.image
    const isInside = new Uint8Array(width * height)
    const stack: number[] = []
    const inSeeds = intersection(seeds, this.image)
    let [minX, minY, maxX, maxY] = [width, height, -1, -1]
    const visit = (x: number, y: number) => {
      const at = y * width + x
      if (isInside[at] === 1 || this.at(x, y) < level) return
      isInside[at] = 1
      minX = Math.min(minX, x)
      maxX = Math.max(maxX, x)
      minY = Math.min(minY, y)
      maxY = Math.max(maxY, y)
      stack.push(at)
    }
    for (let y = inSeeds.y; y < inSeeds.y + inSeeds.height; y++) {
      for (let x = inSeeds.x; x < inSeeds.x + inSeeds.width; x++) {
        if (seeds.pixels[(y - seeds.y) * seeds.width + x - seeds.x] === 1) visit(x, y)
      }
    }
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      const x = at % width
      const y = (at - x) / width
      for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++)
          visit(column, row)
      }
    }
    if (maxX < 0) return EMPTY
    const box = { x: minX, y: minY, width: maxX - minX + 1, height: maxY - minY + 1 }
    const pixels = new Uint8Array(box.width * box.height)
    for (let row = 0; row < box.height; row++) {
      const from = (box.y + row) * width + box.x
      pixels.set(isInside.subarray(from, from + box.width), row * box.width)
    }
    return cropped({ ...box, pixels })
  }

  /** Level that a mark ends at: the median along its border. */
  levelOf(bitmap: Bitmap): number {
    const { x, y, width, height, pixels } = bitmap
    const border: number[] = []
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const at = row * width + column
        if (pixels[at] !== 1) continue
        const isWithin =
          column > 0 &&
          column < width - 1 &&
          row > 0 &&
          row < height - 1 &&
          pixels[at - 1] === 1 &&
          pixels[at + 1] === 1 &&
          pixels[at - width] === 1 &&
          pixels[at + width] === 1
        if (!isWithin) border.push(this.at(x + column, y + row))
      }
    }
    border.sort((a, b) => a - b)
    return border[border.length >> 1] ?? AT_THRESHOLD
  }

  /**
   * Grow (1) or shrink (-1) a mark by its own threshold.
   *
   * The threshold moves until the area changes. Null where the map can't move the mark any further.
   */
  resized(bitmap: Bitmap, by: 1 | -1): Bitmap | null {
    const before = area(bitmap)
    let level = Math.max(this.levelOf(bitmap), FLOOR)
    while (level >= FLOOR && level <= 255) {
      level = by === 1 ? level / STEP : level * STEP
      const next = this.above(level, bitmap)
      if (isEmpty(next)) return null
      const after = area(next)
      if (by === 1 ? after > before : after < before) return next
    }
    return null
  }

  /** What the machine sees around a point, at half of the highest score within reach; empty where it sees nothing. */
  seenAt(x: number, y: number, reach: number): Bitmap {
    let [peak, peakX, peakY] = [0, x, y]
    for (let row = Math.max(0, y - reach); row <= Math.min(this.image.height - 1, y + reach); row++) {
      for (
        let column = Math.max(0, x - reach);
        column <= Math.min(this.image.width - 1, x + reach);
        column++
      ) {
        const value = this.at(column, row)
        if (value > peak) [peak, peakX, peakY] = [value, column, row]
      }
    }
    if (peak < FLOOR) return EMPTY
    const seed = { x: peakX, y: peakY, width: 1, height: 1, pixels: Uint8Array.of(1) }
    return this.above(Math.max(FLOOR, peak * WAND_SHARE), seed)
  }
}

const WAND_SHARE = 0.6

function mixed(a = 0, b = 0, share = 0): number {
  return a + (b - a) * share
}

/** Grow (1) or shrink (-1) a mark along the map, by one pixel where there is none or it sees nothing. */
export function resizedBy(bitmap: Bitmap, by: 1 | -1, scores: ScoreMap | null, image: Box): Bitmap {
  if (scores && scores.levelOf(bitmap) >= FLOOR) return scores.resized(bitmap, by) ?? bitmap
  return by === 1 ? dilated(bitmap, image) : eroded(bitmap, image)
}
