/** The Fabric canvas: image, marks, the stroke under way, the cursor. It draws and decides nothing. */

import { Canvas } from 'fabric'
import { type Bitmap, type Box, EMPTY, intersection, isEmpty } from '../mask/bitmap'
import type { Drawing, Mark } from '../mask/drawing'
import type { ScoreMap } from '../mask/scores'
import { channelsOf, heatOf, MarkShape, PictureShape } from './shapes'

export interface Appearance {
  readonly chosenId: number | null
  readonly isHidden: boolean
  readonly opacity: number
  readonly contrast: number
  /** Number that gives a mark its colour and hatch. */
  readonly colourNumber: (mark: Mark) => number
}

export interface Cursor {
  /** In pixels of the image. */
  readonly x: number
  readonly y: number
  readonly diameter: number
  readonly colour: string
  /** Whether keys moved it: then it is shown with lines through it. */
  readonly isCrosshair?: boolean
}

/** Where the image is on the surface, and the size of the surface; CSS pixels. */
export interface View {
  readonly zoom: number
  readonly left: number
  readonly top: number
  readonly width: number
  readonly height: number
}

const ZOOM_MAX = 32
const GRID_FROM = 8
const MARGIN_PX = 16

export class Stage {
  readonly #canvas: Canvas
  #picture: PictureShape | null = null
  #shapes = new Map<number, MarkShape>()
  #live: OffscreenCanvas | null = null
  #isFitted = true
  #frame = 0

  constructor(element: HTMLCanvasElement) {
    this.#canvas = new Canvas(element, {
      selection: false,
      skipTargetFind: true,
      renderOnAddRemove: false,
      fireRightClick: false,
      backgroundColor: '',
    })
    this.#canvas.on('after:render', ({ ctx }) => this.#drawGrid(ctx))
  }

  /** The element that pointers move on. */
  get surface(): HTMLCanvasElement {
    return this.#canvas.upperCanvasEl
  }

  get zoom(): number {
    return this.#canvas.getZoom()
  }

  /** Tell where the image is, now and at every change; returns what ends that. */
  onView(listener: (view: View) => void): () => void {
    const tell = () => {
      const [zoom, , , , left, top] = this.#canvas.viewportTransform
      listener({ zoom, left, top, width: this.#canvas.width, height: this.#canvas.height })
    }
    tell()
    return this.#canvas.on('after:render', tell)
  }

  async dispose(): Promise<void> {
    cancelAnimationFrame(this.#frame)
    await this.#canvas.dispose()
  }

  resize(width: number, height: number): void {
    this.#canvas.setDimensions({ width, height })
    if (this.#isFitted) this.fit()
    this.#draw()
  }

  show(picture: ImageBitmap): void {
    this.#canvas.remove(...this.#canvas.getObjects())
    this.#shapes.clear()
    this.#picture = new PictureShape(picture)
    this.#live = null
    this.#canvas.add(this.#picture)
    this.fit()
  }

  /** Show a map of scores over the image; null hides it. */
  showScores(scores: ScoreMap | null): void {
    if (this.#picture) this.#picture.heat = scores && heatOf(scores)
    this.#draw()
  }

  /** Draw marks; only those that changed are made anew. */
  draw(drawing: Drawing, appearance: Appearance): void {
    const kept = new Set(drawing.marks.map((mark) => mark.id))
    for (const [id, shape] of this.#shapes) {
      if (!kept.has(id)) this.#drop(id, shape)
    }
    for (const mark of drawing.marks) this.#update(mark, appearance)
    if (this.#picture) this.#picture.contrast = appearance.contrast
    this.#draw()
  }

  fit(): void {
    if (!this.#picture) return
    const { width, height } = this.#canvas
    const zoom = Math.min(
      ZOOM_MAX,
      Math.max(1e-3, (width - 2 * MARGIN_PX) / this.#picture.width),
      Math.max(1e-3, (height - 2 * MARGIN_PX) / this.#picture.height),
    )
    this.#centre(zoom)
    this.#isFitted = true
  }

  actualSize(): void {
    this.#centre(1)
  }

  /** Zoom so that the point under the pointer stays there. */
  zoomAt(x: number, y: number, factor: number): void {
    const zoom = Math.min(ZOOM_MAX, Math.max(0.02, this.zoom * factor))
    const [, , , , left, top] = this.#canvas.viewportTransform
    const ratio = zoom / this.zoom
    this.#setView(zoom, x - (x - left) * ratio, y - (y - top) * ratio)
  }

  pan(dx: number, dy: number): void {
    const [zoom, , , , left, top] = this.#canvas.viewportTransform
    this.#setView(zoom, left + dx, top + dy)
  }

  /** Point of the image under a point of the surface, both in their own pixels. */
  imagePoint(x: number, y: number): { x: number; y: number } {
    const [zoom, , , , left, top] = this.#canvas.viewportTransform
    return { x: (x - left) / zoom, y: (y - top) / zoom }
  }

  /** Show a box of the stroke under way, on the upper canvas alone. */
  drawLive(live: Bitmap, box: Box, colour: string): void {
    const shown = intersection(live, box)
    if (!this.#picture || isEmpty(shown)) return
    this.#live ??= new OffscreenCanvas(this.#picture.width, this.#picture.height)
    const pixels = new Uint32Array(shown.width * shown.height)
    const [red, green, blue] = channelsOf(colour)
    const tint = ((150 << 24) | (blue << 16) | (green << 8) | red) >>> 0
    for (let row = 0; row < shown.height; row++) {
      const from = (shown.y + row - live.y) * live.width + shown.x - live.x
      for (let column = 0; column < shown.width; column++) {
        if (live.pixels[from + column] === 1) pixels[row * shown.width + column] = tint
      }
    }
    const data = new ImageData(new Uint8ClampedArray(pixels.buffer), shown.width, shown.height)
    this.#live.getContext('2d')?.putImageData(data, shown.x, shown.y)
    this.#inImage((ctx) => {
      ctx.clearRect(shown.x, shown.y, shown.width, shown.height)
      ctx.imageSmoothingEnabled = false
      const { x, y, width, height } = shown
      ctx.drawImage(this.#live as OffscreenCanvas, x, y, width, height, x, y, width, height)
    })
  }

  clearLive(box: Box): void {
    this.#live?.getContext('2d')?.clearRect(box.x, box.y, box.width, box.height)
    this.#canvas.clearContext(this.#canvas.contextTop)
  }

  /** Show the brush at its true size; a line while a lasso is drawn. */
  drawCursor(cursor: Cursor | null, line: readonly { x: number; y: number }[] = [], live: Box = EMPTY): void {
    this.#canvas.clearContext(this.#canvas.contextTop)
    this.#inImage((ctx) => {
      if (this.#live && !isEmpty(live)) {
        const { x, y, width, height } = live
        ctx.imageSmoothingEnabled = false
        ctx.drawImage(this.#live, x, y, width, height, x, y, width, height)
      }
      const zoom = this.zoom
      const outline = (path: Path2D, colour: string) => {
        ctx.lineWidth = 3 / zoom
        ctx.strokeStyle = '#000a'
        ctx.stroke(path)
        ctx.lineWidth = 1.5 / zoom
        ctx.strokeStyle = colour
        ctx.stroke(path)
      }
      if (line.length > 1) {
        const path = new Path2D()
        line.forEach((point, index) => {
          if (index === 0) path.moveTo(point.x, point.y)
          else path.lineTo(point.x, point.y)
        })
        outline(path, cursor?.colour ?? '#fff')
      }
      if (cursor) {
        const path = new Path2D()
        path.arc(cursor.x, cursor.y, cursor.diameter / 2, 0, 2 * Math.PI)
        if (cursor.isCrosshair) addCross(path, cursor, 24 / zoom)
        outline(path, cursor.colour)
      }
    })
  }

  #inImage(draw: (ctx: CanvasRenderingContext2D) => void): void {
    const ctx = this.#canvas.contextTop
    ctx.save()
    ctx.transform(...this.#canvas.viewportTransform)
    draw(ctx)
    ctx.restore()
  }

  #update(mark: Mark, appearance: Appearance): void {
    const known = this.#shapes.get(mark.id)
    let shape = known
    const number = appearance.colourNumber(mark)
    if (known?.bitmap !== mark.bitmap || known.number !== number) {
      if (known) this.#drop(mark.id, known)
      shape = new MarkShape(number, mark.bitmap)
      this.#shapes.set(mark.id, shape)
      this.#canvas.add(shape)
    }
    if (!shape) return
    shape.visible = !appearance.isHidden
    shape.isChosen = mark.id === appearance.chosenId
    shape.fillOpacity = appearance.opacity
  }

  #drop(id: number, shape: MarkShape): void {
    this.#canvas.remove(shape)
    this.#shapes.delete(id)
  }

  #centre(zoom: number): void {
    if (!this.#picture) return
    const { width, height } = this.#canvas
    this.#setView(zoom, (width - this.#picture.width * zoom) / 2, (height - this.#picture.height * zoom) / 2)
  }

  #setView(zoom: number, left: number, top: number): void {
    this.#isFitted = false
    this.#canvas.setViewportTransform([zoom, 0, 0, zoom, Math.round(left), Math.round(top)])
    this.#canvas.clearContext(this.#canvas.contextTop)
    this.#draw()
  }

  #draw(): void {
    cancelAnimationFrame(this.#frame)
    this.#frame = requestAnimationFrame(() => this.#canvas.renderAll())
  }

  /** Lines between pixels, where they are large enough to be counted. */
  #drawGrid(ctx: CanvasRenderingContext2D): void {
    const [zoom, , , , left, top] = this.#canvas.viewportTransform
    if (!this.#picture || zoom < GRID_FROM) return
    const { width, height } = this.#picture
    ctx.save()
    ctx.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0)
    ctx.strokeStyle = '#8885'
    ctx.lineWidth = 1
    ctx.beginPath()
    for (let x = 0; x <= width; x++) {
      const at = Math.round(left + x * zoom) + 0.5
      if (at < 0 || at > this.#canvas.width) continue
      ctx.moveTo(at, Math.max(0, top))
      ctx.lineTo(at, top + height * zoom)
    }
    for (let y = 0; y <= height; y++) {
      const at = Math.round(top + y * zoom) + 0.5
      if (at < 0 || at > this.#canvas.height) continue
      ctx.moveTo(Math.max(0, left), at)
      ctx.lineTo(left + width * zoom, at)
    }
    ctx.stroke()
    ctx.restore()
  }
}

function addCross(path: Path2D, { x, y }: { x: number; y: number }, reach: number): void {
  for (const [dx, dy] of [
    [reach, 0],
    [0, reach],
  ] as const) {
    path.moveTo(x - dx, y - dy)
    path.lineTo(x + dx, y + dy)
  }
}
