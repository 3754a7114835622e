/** State of the annotator and every command on it, without canvas or page. */

import { type Bitmap, type Box, EMPTY, isEmpty } from '../mask/bitmap'
import {
  carved,
  classed,
  type Drawing,
  filled,
  grown,
  imageBox,
  markAt,
  merged,
  moved,
  reshaped,
  smoothedMark,
  split,
  withMark,
  withoutMark,
} from '../mask/drawing'
import { begun, type History } from '../mask/history'
import { resizedBy, type ScoreMap } from '../mask/scores'
import { text } from '../text'
import { Editor } from './editor'
import { LiveStroke, type Point, type StrokeKind, type Tool } from './live'
import type { BrushState } from './state'

export class Annotator extends Editor {
  #stroke: LiveStroke | null = null
  /** Pixels of the stroke under way, at image size; kept from stroke to stroke. */
  readonly #live: Bitmap
  #pointer: Point | null = null

  readonly scores: ScoreMap | null
  constructor(
    history: History<Drawing>,
    settings: BrushState,
    scores: ScoreMap | null = null,
    classes: readonly string[] = [],
  ) {
    super(history, settings, classes)
    this.scores = scores
    const { width, height } = history.present
    this.#live = { x: 0, y: 0, width, height, pixels: new Uint8Array(width * height) }
  }

  static of(
    drawing: Drawing,
    settings: BrushState,
    scores: ScoreMap | null = null,
    classes: readonly string[] = [],
  ): Annotator {
    return new Annotator(begun(drawing), settings, scores, classes)
  }

  /** The mark that keys act on: under the pointer, else the chosen one. */
  get target(): number | null {
    const under =
      this.#pointer && markAt(this.drawing, Math.floor(this.#pointer.x), Math.floor(this.#pointer.y))
    return under?.id ?? this.getState().chosenId
  }

  /** The stroke under way. */
  get live(): LiveStroke | null {
    return this.#stroke
  }

  get pointer(): Point | null {
    return this.#pointer
  }

  /** The pointer is there; null: it left the image. */
  pointAt(point: Point | null): void {
    this.#pointer = point
    if (this.getState().crosshair) this.set({ crosshair: null })
  }

  /** Move the crosshair, from the pointer or the middle of the image. */
  moveCrosshair(dx: number, dy: number): void {
    const { width, height } = this.drawing
    const from = this.#pointer ?? { x: width / 2, y: height / 2 }
    const inside = (value: number, size: number) => Math.min(size - 1, Math.max(0, Math.floor(value))) + 0.5
    const crosshair = { x: inside(from.x + dx, width), y: inside(from.y + dy, height) }
    this.#pointer = crosshair
    this.#stroke?.extend(crosshair)
    this.set({ crosshair })
  }

  /** Press the tool at the crosshair or pointer, or release it. */
  pen(isNew: boolean): void {
    const at = this.#pointer
    if (!at) this.hint(text.hints.noPointer)
    else if (this.#stroke && this.#stroke.settings.tool !== 'polygon') this.endStroke()
    else this.beginStroke(at.x, at.y, isNew)
  }

  /** What a stroke would do that begins at a point. */
  strokeKindAt(x: number, y: number, isNew: boolean): StrokeKind {
    if (isNew) return { kind: 'new' }
    const mark = markAt(this.drawing, Math.floor(x), Math.floor(y))
    return mark ? { kind: 'grow', id: mark.id } : { kind: 'cut' }
  }

  /** Begin a stroke; of a polygon under way set the next corner. */
  beginStroke(x: number, y: number, isNew: boolean): Box {
    if (this.#stroke?.settings.tool === 'polygon') {
      this.#stroke.addCorner({ x, y })
      this.hint(text.hints.polygon)
      return EMPTY
    }
    this.cancelStroke()
    const { tool, diameter } = this.getState()
    const settings = { tool, diameter, does: this.strokeKindAt(x, y, isNew) }
    this.#stroke = new LiveStroke(this.#live, settings, { x, y })
    this.hint(tool === 'polygon' ? text.hints.polygon : '')
    return this.#stroke.box
  }

  /** Go on with the stroke. Returns the box of pixels that may have changed. */
  extendStroke(x: number, y: number): Box {
    return this.#stroke?.extend({ x, y }) ?? EMPTY
  }

  /** The pointer is released, which ends every stroke but that of a polygon. */
  endStroke(): void {
    if (this.#stroke?.settings.tool !== 'polygon') this.finishStroke()
  }

  /** End the stroke, also that of a polygon. */
  finishStroke(): void {
    const stroke = this.#stroke
    if (!stroke) return
    const pixels = stroke.pixels(imageBox(this.drawing))
    this.cancelStroke()
    const { does, tool } = stroke.settings
    if (isEmpty(pixels) && tool !== 'brush') this.hint(text.hints.emptyShape)
    else if (does.kind === 'grow') this.step(grown(this.drawing, does.id, pixels), '', does.id)
    else if (does.kind === 'cut') this.step(carved(this.drawing, pixels), text.hints.nothingCut)
    else this.step(withMark(this.drawing, pixels), '', this.drawing.nextId)
  }

  cancelStroke(): void {
    if (!this.#stroke) return
    this.#stroke.clear()
    this.#stroke = null
    this.hint('')
  }

  remove(id: number | null = this.target): void {
    if (id === null) this.hint(text.hints.noMark)
    else this.step(withoutMark(this.drawing, id), text.hints.noMark)
  }

  /** Grow (1) or shrink (-1) the mark along the map of scores; by one pixel where the machine sees nothing. */
  resize(by: 1 | -1): void {
    const resized = (bitmap: Bitmap) => resizedBy(bitmap, by, this.scores, imageBox(this.drawing))
    this.#change((id) => reshaped(this.drawing, id, resized), text.hints.noFurther)
  }

  /** Mark what the machine sees at the pointer; begun inside a mark it is added to it. */
  wand(): void {
    if (!this.scores || !this.#pointer) {
      this.hint(this.scores ? text.hints.noPointer : text.hints.noScores)
      return
    }
    const [x, y] = [Math.floor(this.#pointer.x), Math.floor(this.#pointer.y)]
    const seen = this.scores.seenAt(x, y, this.getState().diameter >> 1)
    const inside = markAt(this.drawing, x, y)
    if (isEmpty(seen)) this.hint(text.hints.nothingSeen)
    else if (inside) this.step(grown(this.drawing, inside.id, seen), text.hints.noFurther, inside.id)
    else this.step(withMark(this.drawing, seen), '', this.drawing.nextId)
  }

  /** Give the mark the class of a digit; the same digit again takes it back. */
  setClass(digit: number): void {
    const id = this.target
    const name = this.classes[digit - 1]
    if (name === undefined) this.hint(text.hints.noClass(digit, this.classes))
    else if (id === null) this.hint(text.hints.noMark)
    else {
      const mark = this.drawing.marks.find((one) => one.id === id)
      this.step(classed(this.drawing, id, mark?.className === name ? '' : name), '', id)
    }
  }

  fillHoles(): void {
    this.#change((id) => filled(this.drawing, id), text.hints.noHole)
  }

  smooth(): void {
    this.#change((id) => smoothedMark(this.drawing, id), text.hints.noSmoother)
  }

  split(): void {
    this.#change((id) => split(this.drawing, id), text.hints.onePart)
  }

  nudge(dx: number, dy: number): void {
    this.#change((id) => moved(this.drawing, id, dx, dy), '')
  }

  /** Replace the pixels of a mark, as a step. */
  reshape(id: number, bitmap: Bitmap, hintIfSame: string): void {
    this.step(
      reshaped(this.drawing, id, () => bitmap),
      hintIfSame,
      id,
    )
  }

  merge(): void {
    const id = this.target
    const { chosenId } = this.getState()
    if (id === null || chosenId === null || id === chosenId) this.hint(text.hints.noOther)
    else this.step(merged(this.drawing, chosenId, id), text.hints.noOther)
  }

  override undo(): void {
    if (this.#stroke?.settings.tool !== 'polygon') {
      super.undo()
      return
    }
    if (this.#stroke.corners > 1) this.#stroke.dropCorner()
    else this.cancelStroke()
    this.set({})
  }

  setTool(tool: Tool): void {
    this.cancelStroke()
    this.set({ tool })
  }

  #change(change: (id: number) => Drawing, hintIfSame: string): void {
    const id = this.target
    if (id === null) this.hint(text.hints.noMark)
    else this.step(change(id), hintIfSame, id)
  }
}
