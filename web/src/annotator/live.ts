/** The stroke under way, of every tool: points in, pixels out. */

import { type Bitmap, type Box, boxOf, cropped, EMPTY, union } from '../mask/bitmap'
import { ellipseOf } from '../mask/ellipse'
import { polygonOf } from '../mask/polygon'
import { type HalfPoint, paintCapsule, snap } from '../mask/stroke'

export const TOOLS = ['brush', 'lasso', 'polygon', 'rectangle', 'ellipse'] as const
export type Tool = (typeof TOOLS)[number]

/** What a stroke does, decided where it begins. */
export type StrokeKind = { kind: 'grow'; id: number } | { kind: 'cut' } | { kind: 'new' }

/** A point in pixels of the image, with fractions. */
export interface Point {
  readonly x: number
  readonly y: number
}

export interface StrokeSettings {
  readonly tool: Tool
  readonly diameter: number
  readonly does: StrokeKind
}

export class LiveStroke {
  readonly settings: StrokeSettings
  /** Pixels at image size, kept from stroke to stroke. */
  readonly bitmap: Bitmap
  /** Pixels of the brush so far. */
  box: Box = EMPTY
  /** Of a polygon its corners and the loose end. */
  #points: Point[]
  #last: HalfPoint

  constructor(bitmap: Bitmap, settings: StrokeSettings, start: Point) {
    this.bitmap = bitmap
    this.settings = settings
    this.#points = settings.tool === 'polygon' ? [start, start] : [start]
    this.#last = snap(start.x, start.y, settings.diameter)
    this.#paint(this.#last)
  }

  /** Number of corners that were set, of a polygon. */
  get corners(): number {
    return this.#points.length - 1
  }

  get first(): Point {
    return this.#points[0] as Point
  }

  /** Go on. Returns the box of pixels that may have changed. */
  extend(point: Point): Box {
    const { tool } = this.settings
    if (tool === 'brush') return this.#paint(snap(point.x, point.y, this.settings.diameter))
    if (tool === 'lasso') this.#points.push(point)
    else if (tool === 'polygon') this.#points[this.#points.length - 1] = point
    else this.#points[1] = point
    return EMPTY
  }

  addCorner(point: Point): void {
    this.#points[this.#points.length - 1] = point
    this.#points.push(point)
  }

  dropCorner(): void {
    this.#points.splice(-2, 1)
  }

  /** What the stroke covers if it ends now. */
  pixels(image: Box): Bitmap {
    const { tool } = this.settings
    if (tool === 'brush') return cropped(boxOf(this.bitmap, this.box))
    if (tool === 'lasso') return polygonOf(this.#points.map(halfOf), image)
    if (tool === 'polygon') return polygonOf(this.#points.slice(0, -1).map(halfOf), image)
    const [one, other] = this.#box()
    if (tool === 'ellipse') return ellipseOf(one, other, image)
    return polygonOf([one, { x: other.x, y: one.y }, other, { x: one.x, y: other.y }], image)
  }

  /** Line to show while it is drawn; none of a brush, whose pixels are shown. */
  line(): readonly Point[] {
    const { tool } = this.settings
    if (tool === 'brush') return []
    if (tool === 'lasso') return this.#points
    if (tool === 'polygon') return [...this.#points, this.first]
    const [one, other] = this.#box()
    const [left, top, right, bottom] = [one.x / 2, one.y / 2, other.x / 2, other.y / 2]
    if (tool === 'rectangle') {
      return [
        { x: left, y: top },
        { x: right, y: top },
        { x: right, y: bottom },
        { x: left, y: bottom },
        { x: left, y: top },
      ]
    }
    return Array.from({ length: 65 }, (_, index) => ({
      x: (left + right) / 2 + (Math.cos((index * Math.PI) / 32) * (right - left)) / 2,
      y: (top + bottom) / 2 + (Math.sin((index * Math.PI) / 32) * (bottom - top)) / 2,
    }))
  }

  /** Take the pixels off the shared bitmap. */
  clear(): void {
    const { x, y, width, height } = this.box
    for (let row = y; row < y + height; row++) {
      const start = row * this.bitmap.width + x
      this.bitmap.pixels.fill(0, start, start + width)
    }
  }

  /** Opposite corners of a rectangle or ellipse, between pixels. */
  #box(): [HalfPoint, HalfPoint] {
    const [one, other] = [this.first, this.#points.at(-1) as Point].map((point) => ({
      x: 2 * Math.round(point.x),
      y: 2 * Math.round(point.y),
    }))
    return [one as HalfPoint, other as HalfPoint]
  }

  #paint(to: HalfPoint): Box {
    if (this.settings.tool !== 'brush') return EMPTY
    const box = paintCapsule(this.bitmap, this.#last, to, this.settings.diameter)
    this.#last = to
    this.box = union(this.box, box)
    return box
  }
}

function halfOf({ x, y }: Point): HalfPoint {
  return { x: Math.round(2 * x), y: Math.round(2 * y) }
}
