/** Fabric objects: the image, and one object for each mark, which draws what its bitmap says. */

import { FabricObject } from 'fabric'
import type { Bitmap } from '../mask/bitmap'
import { edgesOf } from '../mask/outline'
import { FLOOR, type ScoreMap } from '../mask/scores'

/** What can be drawn of a bitmap, kept as long as the bitmap. */
interface View {
  readonly fill: OffscreenCanvas
  readonly border: Path2D
}

const views = new WeakMap<Bitmap, Map<string, View>>()

/** Colours that differ in brightness too; hatches differ where colours can't be told apart. */
export const COLOURS = [
  '#ff4d6d',
  '#ffd166',
  '#4cc9f0',
  '#b5e48c',
  '#c77dff',
  '#ff9f1c',
  '#f7f7f7',
  '#2ec4b6',
  '#ff99c8',
] as const
const WITHOUT_CLASS = '#a9b1bd'
const HATCH_PX = 6

/** Colour of a number: the digit of a class, or the number of a mark; 0: no class, where the line has some. */
export function colourOf(number: number): string {
  if (number === 0) return WITHOUT_CLASS
  return COLOURS[(number - 1) % COLOURS.length] as string
}

abstract class PixelShape extends FabricObject {
  constructor(box: { x: number; y: number; width: number; height: number }) {
    super({
      left: box.x + box.width / 2,
      top: box.y + box.height / 2,
      width: box.width,
      height: box.height,
      originX: 'center',
      originY: 'center',
      strokeWidth: 0,
      objectCaching: false,
      selectable: false,
      evented: false,
    })
  }
}

/** The image under the marks. */
export class PictureShape extends PixelShape {
  readonly bitmap: ImageBitmap
  contrast = 1
  heat: OffscreenCanvas | null = null

  constructor(bitmap: ImageBitmap) {
    super({ x: 0, y: 0, width: bitmap.width, height: bitmap.height })
    this.bitmap = bitmap
  }

  override _render(ctx: CanvasRenderingContext2D): void {
    if (this.bitmap.width === 0) return // freed: the next image is about to be shown
    ctx.imageSmoothingEnabled = (this.canvas?.getZoom() ?? 1) < 2
    ctx.filter = this.contrast === 1 ? 'none' : `contrast(${this.contrast})`
    ctx.drawImage(this.bitmap, -this.width / 2, -this.height / 2)
    ctx.filter = 'none'
    if (!this.heat) return
    ctx.imageSmoothingEnabled = true
    ctx.drawImage(this.heat, -this.width / 2, -this.height / 2, this.width, this.height)
  }
}

/** Colours of a map: nothing below a quarter of the threshold, then blue, green, yellow, red, white. */
export function heatOf(scores: ScoreMap): OffscreenCanvas {
  const { width, height, pixels } = scores.raster
  const canvas = new OffscreenCanvas(width, height)
  const ctx = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D
  const image = ctx.createImageData(width, height)
  for (let at = 0; at < pixels.length; at++) {
    const value = pixels[at] ?? 0
    if (value < FLOOR) continue
    const place = Math.min(HEAT.length - 1.001, Math.log2(value / FLOOR))
    const [low, high] = [HEAT[Math.floor(place)], HEAT[Math.floor(place) + 1]]
    if (!low || !high) continue
    const share = place % 1
    image.data.set([0, 1, 2].map((channel) => mix(low[channel], high[channel], share)).concat(150), 4 * at)
  }
  ctx.putImageData(image, 0, 0)
  return canvas
}

/** At a quarter, half, once, twice and four times the pixel threshold. */
const HEAT = [
  [40, 60, 200],
  [20, 180, 120],
  [250, 220, 40],
  [240, 60, 30],
  [255, 255, 255],
] as const

function mix(a = 0, b = 0, share = 0): number {
  return a + (b - a) * share
}

/** One mark. */
export class MarkShape extends PixelShape {
  readonly bitmap: Bitmap
  readonly number: number
  readonly colour: string
  readonly pattern: number
  isChosen = false
  fillOpacity = 0.4

  /** The number gives colour and hatch. */
  constructor(number: number, bitmap: Bitmap) {
    super(bitmap)
    this.bitmap = bitmap
    this.number = number
    this.colour = colourOf(number)
    this.pattern = (number + 2) % 3
  }

  override _render(ctx: CanvasRenderingContext2D): void {
    const { fill, border } = viewOf(this.bitmap, this.colour, this.pattern)
    const zoom = this.canvas?.getZoom() ?? 1
    ctx.imageSmoothingEnabled = false
    const opacity = ctx.globalAlpha
    ctx.globalAlpha = opacity * this.fillOpacity
    ctx.drawImage(fill, -this.width / 2, -this.height / 2)
    ctx.globalAlpha = opacity
    ctx.translate(-this.width / 2 - this.bitmap.x, -this.height / 2 - this.bitmap.y)
    ctx.lineCap = 'square'
    ctx.lineWidth = (this.isChosen ? 5 : 3) / zoom
    ctx.strokeStyle = '#000a'
    ctx.stroke(border)
    ctx.lineWidth = (this.isChosen ? 2.5 : 1.25) / zoom
    ctx.strokeStyle = this.isChosen ? '#ffffff' : this.colour
    ctx.stroke(border)
  }
}

function viewOf(bitmap: Bitmap, colour: string, pattern: number): View {
  const known = views.get(bitmap) ?? new Map<string, View>()
  views.set(bitmap, known)
  const name = `${colour}${pattern}`
  const view = known.get(name) ?? { fill: tinted(bitmap, colour, pattern), border: borderOf(bitmap) }
  known.set(name, view)
  return view
}

function tinted(bitmap: Bitmap, colour: string, pattern: number): OffscreenCanvas {
  const { width, height, pixels } = bitmap
  const canvas = new OffscreenCanvas(Math.max(1, width), Math.max(1, height))
  const ctx = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D
  const image = ctx.createImageData(Math.max(1, width), Math.max(1, height))
  const [red, green, blue] = channelsOf(colour)
  for (let at = 0; at < pixels.length; at++) {
    if (pixels[at] !== 1) continue
    const x = bitmap.x + (at % width)
    const y = bitmap.y + Math.floor(at / width)
    const isLine =
      (pattern === 1 && (x + y) % HATCH_PX === 0) || (pattern === 2 && (x - y + 1e6) % HATCH_PX === 0)
    image.data.set([red, green, blue, isLine ? 90 : 255], 4 * at)
  }
  ctx.putImageData(image, 0, 0)
  return canvas
}

function borderOf(bitmap: Bitmap): Path2D {
  const path = new Path2D()
  for (const { x1, y1, x2, y2 } of edgesOf(bitmap)) {
    path.moveTo(x1, y1)
    path.lineTo(x2, y2)
  }
  return path
}

/** Red, green and blue of a colour such as #ff4d6d. */
export function channelsOf(colour: string): [number, number, number] {
  const value = Number.parseInt(colour.slice(1), 16)
  return [value >> 16, (value >> 8) & 255, value & 255]
}
