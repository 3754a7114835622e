import { crc32, inflateSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import {
  added,
  area,
  type Bitmap,
  boxOf,
  cropped,
  cut,
  dilated,
  eroded,
  has,
  withoutHoles,
} from '../src/mask/bitmap'
import { componentsOf } from '../src/mask/components'
import {
  carved,
  drawingOf,
  emptyDrawing,
  filled,
  grown,
  imageBox,
  markAt,
  maskOf,
  merged,
  moved,
  smoothedMark,
  split,
  withMark,
  withoutMark,
} from '../src/mask/drawing'
import { ellipseOf } from '../src/mask/ellipse'
import { begun, redone, stepped, undone } from '../src/mask/history'
import { edgesOf } from '../src/mask/outline'
import { encodePng } from '../src/mask/png'
import { polygonOf } from '../src/mask/polygon'
import { bitmapOf, runsOf } from '../src/mask/rle'
import { smoothed as smooth } from '../src/mask/smooth'
import { type HalfPoint, integerRoot, snap, strokeOf } from '../src/mask/stroke'
import golden from './golden/marks.json'

const image = { x: 0, y: 0, width: golden.width, height: golden.height }
const masked = { x: 0, y: 0, width: golden.mask_width, height: golden.mask_height }

const half = (points: number[][]) => points.map(([x, y]) => ({ x: x as number, y: y as number }))
const whole = (bitmap: Bitmap, box = image) => runsOf(boxOf(bitmap, box))

/** A bitmap from rows of '#' and '.'. */
function picture(rows: string[], x = 0, y = 0): Bitmap {
  const width = rows[0]?.length ?? 0
  const pixels = Uint8Array.from(rows.join(''), (sign) => (sign === '#' ? 1 : 0))
  return { x, y, width, height: rows.length, pixels }
}

describe('the golden file, bit for bit', () => {
  it.each(golden.strokes.map((c, i) => [i, c] as const))('stroke %i', (_, { points, diameter, runs }) => {
    expect(whole(strokeOf(half(points), diameter, image))).toEqual(runs)
  })
  it.each(golden.polygons.map((c, i) => [i, c] as const))('polygon %i', (_, { points, runs }) => {
    expect(whole(polygonOf(half(points), image))).toEqual(runs)
  })
  it.each(golden.ellipses.map((c, i) => [i, c] as const))('ellipse %i', (_, { corners, runs }) => {
    const [one, other] = half(corners) as [HalfPoint, HalfPoint]
    expect(whole(ellipseOf(one, other, image))).toEqual(runs)
  })
  it.each(golden.masks.map((c, i) => [i, c] as const))(
    'mask %i',
    (_, { runs, components, filled, smoothed }) => {
      const mask = bitmapOf(masked, runs)
      expect(componentsOf(mask, 1).map((part) => whole(part, masked))).toEqual(components)
      expect(whole(withoutHoles(mask), masked)).toEqual(filled)
      expect(whole(smooth(mask, masked), masked)).toEqual(smoothed)
    },
  )
})

describe('bitmaps', () => {
  const ring = picture(['.....', '.###.', '.#.#.', '.###.', '.....'], 10, 20)

  it('crops to the smallest box and keeps holes', () => {
    const small = cropped(ring)
    expect([small.x, small.y, small.width, small.height, area(small)]).toEqual([11, 21, 3, 3, 8])
    expect(has(small, 12, 22)).toBe(false)
    expect(cropped(picture(['...', '...'])).width).toBe(0)
  })
  it('adds beyond its box and cuts to nothing', () => {
    const sum = added(cropped(ring), picture(['##'], 13, 22))
    expect([area(sum), has(sum, 14, 22), has(sum, 12, 22)]).toEqual([9, true, false])
    expect(cut(ring, picture(['#'], 0, 0))).toBe(ring)
    expect(area(cut(ring, ring))).toBe(0)
  })
  it('refuses runs that do not fill the box', () => {
    expect(() => bitmapOf({ x: 0, y: 0, width: 3, height: 2 }, [5])).toThrow(RangeError)
    expect(() => bitmapOf({ x: 0, y: 0, width: 3, height: 2 }, [3, 9])).toThrow(RangeError)
  })
  it('takes exact roots beyond 2^53', () => {
    for (const n of [0, 1, 3, 94906267, 3037000499]) {
      const square = BigInt(n) * BigInt(n)
      expect(integerRoot(square)).toBe(n)
      if (n > 0) expect(integerRoot(square - 1n)).toBe(n - 1)
    }
  })
  it('puts an odd brush on a pixel and an even one on a corner', () => {
    expect(snap(4.7, 2.2, 3)).toEqual({ x: 9, y: 5 })
    expect(snap(4.7, 2.2, 4)).toEqual({ x: 10, y: 4 })
  })
  it('splits 10,000 specks within half a second', () => {
    const pixels = new Uint8Array(1000 * 1000)
    for (let y = 0; y < 1000; y += 10) for (let x = 0; x < 1000; x += 10) pixels[y * 1000 + x] = 255
    const began = performance.now()
    expect(componentsOf({ width: 1000, height: 1000, pixels }, 255)).toHaveLength(10_000)
    expect(performance.now() - began).toBeLessThan(500)
  })
})

describe('drawings', () => {
  const mask = { width: 8, height: 3, pixels: new Uint8Array(24) }
  mask.pixels.set([255, 255, 0, 0, 0, 128, 255, 255], 8)
  const drawing = drawingOf(mask)

  it('makes a mark of each connected defect and leaves the unsure band out', () => {
    expect(drawing.marks.map((mark) => [mark.id, mark.bitmap.x, area(mark.bitmap)])).toEqual([
      [1, 0, 2],
      [2, 6, 2],
    ])
    expect(markAt(drawing, 1, 1)?.id).toBe(1)
    expect(markAt(drawing, 3, 1)).toBeUndefined()
  })
  it('grows one mark, cuts all, deletes, merges', () => {
    const bridge = picture(['######'], 1, 1)
    const more = grown(drawing, 1, bridge)
    expect(more.marks.map((mark) => area(mark.bitmap))).toEqual([7, 2])
    expect(more.marks[1]).toBe(drawing.marks[1])
    expect(carved(more, bridge).marks.map((mark) => area(mark.bitmap))).toEqual([1, 1])
    expect(carved(drawing, picture(['##'], 0, 1)).marks.map((mark) => mark.id)).toEqual([2])
    expect(withoutMark(drawing, 2).marks.map((mark) => mark.id)).toEqual([1])
    expect(merged(more, 1, 2).marks.map((mark) => area(mark.bitmap))).toEqual([8])
  })
  it('splits what does not touch, and moves within the image', () => {
    const both = withMark(emptyDrawing(8, 4), picture(['##..#', '##...'], 1, 1))
    const parts = split(both, 1)
    expect(parts.marks.map(({ id, bitmap }) => [id, bitmap.x, area(bitmap)])).toEqual([
      [1, 1, 4],
      [2, 5, 1],
    ])
    expect([split(parts, 1), split(parts, 9), moved(parts, 9, 1, 1)]).toEqual([parts, parts, parts])
    const gone = moved(parts, 1, -2, 0)
    expect(gone.marks.map(({ bitmap }) => [bitmap.x, bitmap.y, area(bitmap)])).toEqual([
      [0, 1, 2],
      [5, 1, 1],
    ])
    expect(moved(parts, 2, 0, -2).marks.map(({ id }) => id)).toEqual([1])
  })
  it('keeps holes through all but filling and smoothing', () => {
    const ring = picture(['#####', '#...#', '#...#', '#...#', '#####'], 2, 2)
    const one = withMark(emptyDrawing(12, 12), ring)
    const isHole = (next: typeof one) => next.marks.every(({ bitmap }) => !has(bitmap, 4, 4))
    const dot = picture(['#'], 7, 4)
    for (const next of [
      grown(one, 1, dot),
      carved(one, dot),
      merged(withMark(one, dot), 1, 2),
      split(one, 1),
    ]) {
      expect(isHole(next)).toBe(true)
    }
    expect(isHole(smoothedMark(one, 1))).toBe(true)
    expect(isHole(moved(moved(one, 1, 1, 0), 1, -1, 0))).toBe(true)
    expect(isHole(filled(one, 1))).toBe(false)
  })
  it('is the same where nothing changes', () => {
    expect(carved(drawing, picture(['#'], 4, 0))).toBe(drawing)
    expect(withoutMark(drawing, 9)).toBe(drawing)
    expect(filled(drawing, 1)).toBe(drawing)
    expect(merged(drawing, 1, 1)).toBe(drawing)
  })
  it('gives one mask of all marks, overlaps once', () => {
    const both = withMark(withMark(emptyDrawing(4, 2), picture(['###'], 0, 0)), picture(['##'], 2, 0))
    expect([...maskOf(both).pixels]).toEqual([255, 255, 255, 255, 0, 0, 0, 0])
    expect(imageBox(both)).toEqual({ x: 0, y: 0, width: 4, height: 2 })
  })
})

describe('history', () => {
  it('undoes and redoes by step, and forgets what was undone after a new step', () => {
    let steps = stepped(stepped(begun('a'), 'b'), 'c')
    expect(stepped(steps, 'c')).toBe(steps)
    steps = undone(undone(steps))
    expect([steps.present, undone(steps)]).toEqual(['a', steps])
    expect(redone(steps).present).toBe('b')
    const other = stepped(steps, 'd')
    expect([other.present, redone(other)]).toEqual(['d', other])
  })
})

describe('what is stored', () => {
  it('writes masks as grey 8-bit PNG', async () => {
    const pixels = Uint8Array.from([0, 255, 255, 0, 0, 255])
    const bytes = Buffer.from(await (await encodePng({ width: 3, height: 2, pixels })).arrayBuffer())
    expect([bytes.readUInt32BE(16), bytes.readUInt32BE(20), bytes[24], bytes[25]]).toEqual([3, 2, 8, 0])
    expect(bytes.readUInt32BE(29)).toBe(crc32(bytes.subarray(12, 29)))
    const size = bytes.readUInt32BE(33)
    expect([...inflateSync(bytes.subarray(41, 41 + size))]).toEqual([0, 0, 255, 255, 0, 0, 0, 255])
  })
  it('outlines every border once, holes included', () => {
    const ring = picture(['###', '#.#', '###'], 5, 5)
    const length = edgesOf(ring).reduce((sum, e) => sum + Math.abs(e.x2 - e.x1) + Math.abs(e.y2 - e.y1), 0)
    expect(length).toBe(12 + 4)
  })
  it('grows and shrinks by one pixel, and not beyond the image', () => {
    const box = { x: 0, y: 0, width: 6, height: 6 }
    const dot = picture(['#'], 0, 0)
    expect(area(dilated(dot, box))).toBe(4)
    expect(area(eroded(dilated(dot, box), box))).toBe(1)
    expect(area(eroded(picture(['###', '###', '###'], 2, 2), box))).toBe(1)
    expect(area(eroded(picture(['##', '##'], 2, 2), box))).toBe(0)
  })
})
