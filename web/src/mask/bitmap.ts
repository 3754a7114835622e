/** Bitmaps of marks: a box of the image, one byte a pixel. */

/** A box in pixels of the image. */
export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** Pixels of one mark inside its box, row by row; 1 inside, 0 outside. Never changed once made. */
export interface Bitmap extends Box {
  readonly pixels: Uint8Array
}

export const EMPTY: Bitmap = { x: 0, y: 0, width: 0, height: 0, pixels: new Uint8Array(0) }

/** The smallest box around two boxes; an empty box adds nothing. */
export function union(a: Box, b: Box): Box {
  if (isEmpty(a)) return b
  if (isEmpty(b)) return a
  const x = Math.min(a.x, b.x)
  const y = Math.min(a.y, b.y)
  return {
    x,
    y,
    width: Math.max(a.x + a.width, b.x + b.width) - x,
    height: Math.max(a.y + a.height, b.y + b.height) - y,
  }
}

/** The box that two boxes share; of width and height 0 where they share none. */
export function intersection(a: Box, b: Box): Box {
  const x = Math.max(a.x, b.x)
  const y = Math.max(a.y, b.y)
  return {
    x,
    y,
    width: Math.max(0, Math.min(a.x + a.width, b.x + b.width) - x),
    height: Math.max(0, Math.min(a.y + a.height, b.y + b.height) - y),
  }
}

export function isEmpty(box: Box): boolean {
  return box.width <= 0 || box.height <= 0
}

/** Whether a pixel of the image is inside the mark. */
export function has(bitmap: Bitmap, x: number, y: number): boolean {
  const column = x - bitmap.x
  const row = y - bitmap.y
  if (column < 0 || row < 0 || column >= bitmap.width || row >= bitmap.height) return false
  return bitmap.pixels[row * bitmap.width + column] === 1
}

export function area(bitmap: Bitmap): number {
  let count = 0
  for (const pixel of bitmap.pixels) count += pixel
  return count
}

/** Whether two bitmaps have the same box and pixels. */
export function isSame(a: Bitmap, b: Bitmap): boolean {
  if (a === b) return true
  if (a.x !== b.x || a.y !== b.y || a.width !== b.width || a.height !== b.height) return false
  return a.pixels.every((pixel, index) => pixel === b.pixels[index])
}

/** The same pixels in the smallest box. */
export function cropped(bitmap: Bitmap): Bitmap {
  const { width, height, pixels } = bitmap
  let left = width
  let right = -1
  let top = height
  let bottom = -1
  for (let row = 0; row < height; row++) {
    const first = pixels.indexOf(1, row * width)
    if (first < 0) break
    if (first >= (row + 1) * width) {
      row = Math.floor(first / width) - 1
      continue
    }
    const last = pixels.lastIndexOf(1, (row + 1) * width - 1)
    left = Math.min(left, first - row * width)
    right = Math.max(right, last - row * width)
    top = Math.min(top, row)
    bottom = row
  }
  if (bottom < 0) return EMPTY
  const box = { x: bitmap.x + left, y: bitmap.y + top, width: right - left + 1, height: bottom - top + 1 }
  return box.width === width && box.height === height ? bitmap : boxOf(bitmap, box)
}

/** The pixels of a bitmap inside another box, which may reach beyond the bitmap's. */
export function boxOf(bitmap: Bitmap, box: Box): Bitmap {
  const pixels = new Uint8Array(Math.max(0, box.width) * Math.max(0, box.height))
  const shared = intersection(bitmap, box)
  for (let row = 0; row < shared.height; row++) {
    const from = (shared.y + row - bitmap.y) * bitmap.width + shared.x - bitmap.x
    const to = (shared.y + row - box.y) * box.width + shared.x - box.x
    pixels.set(bitmap.pixels.subarray(from, from + shared.width), to)
  }
  return { x: box.x, y: box.y, width: box.width, height: box.height, pixels }
}

/** Pixels of either. */
export function added(a: Bitmap, b: Bitmap): Bitmap {
  if (isEmpty(b)) return a
  const sum = boxOf(a, union(a, b))
  for (let row = 0; row < b.height; row++) {
    const to = (b.y + row - sum.y) * sum.width + b.x - sum.x
    for (let column = 0; column < b.width; column++) {
      sum.pixels[to + column] = (sum.pixels[to + column] ?? 0) | (b.pixels[row * b.width + column] ?? 0)
    }
  }
  return sum
}

/** Pixels of the first that are not in the second, cropped; the first itself where they share none. */
export function cut(a: Bitmap, b: Bitmap): Bitmap {
  const shared = intersection(a, b)
  if (isEmpty(shared)) return a
  const pixels = a.pixels.slice()
  let removed = 0
  for (let row = 0; row < shared.height; row++) {
    const inA = (shared.y + row - a.y) * a.width + shared.x - a.x
    const inB = (shared.y + row - b.y) * b.width + shared.x - b.x
    for (let column = 0; column < shared.width; column++) {
      if (b.pixels[inB + column] === 1 && pixels[inA + column] === 1) {
        pixels[inA + column] = 0
        removed++
      }
    }
  }
  return removed === 0 ? a : cropped({ ...a, pixels })
}

/** The mark with every hole filled: pixels that no path of edge neighbours leads out of. */
export function withoutHoles(bitmap: Bitmap): Bitmap {
  if (isEmpty(bitmap)) return bitmap
  const around = boxOf(bitmap, {
    x: bitmap.x - 1,
    y: bitmap.y - 1,
    width: bitmap.width + 2,
    height: bitmap.height + 2,
  })
  const { width, pixels } = around
  const outside = new Uint8Array(pixels.length)
  const stack = new Int32Array(pixels.length)
  let depth = 1
  outside[0] = 1
  while (depth > 0) {
    const at = stack[--depth] ?? 0
    const column = at % width
    for (const next of [column > 0 ? at - 1 : -1, column < width - 1 ? at + 1 : -1, at - width, at + width]) {
      if (next < 0 || next >= pixels.length || outside[next] === 1 || pixels[next] === 1) continue
      outside[next] = 1
      stack[depth++] = next
    }
  }
  return boxOf({ ...around, pixels: outside.map((is) => 1 - is) }, bitmap)
}

/** The mark with every pixel added that touches it, within the image. */
export function dilated(bitmap: Bitmap, image: Box): Bitmap {
  const around = { x: bitmap.x - 1, y: bitmap.y - 1, width: bitmap.width + 2, height: bitmap.height + 2 }
  const sum = boxOf(bitmap, intersection(around, image))
  for (let row = 0; row < bitmap.height; row++) {
    for (let column = 0; column < bitmap.width; column++) {
      if (bitmap.pixels[row * bitmap.width + column] !== 1) continue
      const touched = intersection(
        { x: bitmap.x + column - 1, y: bitmap.y + row - 1, width: 3, height: 3 },
        sum,
      )
      for (let y = touched.y; y < touched.y + touched.height; y++) {
        const start = (y - sum.y) * sum.width + touched.x - sum.x
        sum.pixels.fill(1, start, start + touched.width)
      }
    }
  }
  return sum
}

/** The mark without every pixel that touches the outside; beyond the image is no outside. */
export function eroded(bitmap: Bitmap, image: Box): Bitmap {
  const box = intersection(
    { x: bitmap.x - 1, y: bitmap.y - 1, width: bitmap.width + 2, height: bitmap.height + 2 },
    image,
  )
  const around = boxOf(bitmap, box)
  const outside = { ...around, pixels: around.pixels.map((is) => 1 - is) }
  return cut(bitmap, dilated(outside, image))
}
