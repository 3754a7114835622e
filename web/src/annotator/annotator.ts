/** State of the annotator and every command on it, without canvas or page. */

import { type Bitmap, type Box, boxOf, cropped, dilated, EMPTY, eroded, isEmpty, union } from '../mask/bitmap'
import {
  carved,
  classed,
  type Drawing,
  filled,
  grown,
  imageBox,
  type Mark,
  markAt,
  merged,
  reshaped,
  withMark,
  withoutMark,
} from '../mask/drawing'
import { begun, type History, redone, stepped, undone } from '../mask/history'
import { polygonOf } from '../mask/polygon'
import { FLOOR, type ScoreMap } from '../mask/scores'
import { type HalfPoint, paintCapsule, snap } from '../mask/stroke'
import { text } from '../text'

export type Tool = 'brush' | 'lasso'
/** What a stroke does, decided where it begins. */
export type StrokeKind = { kind: 'grow'; id: number } | { kind: 'cut' } | { kind: 'new' }

export interface BrushState {
  readonly tool: Tool
  readonly diameter: number
}

export interface State extends BrushState {
  readonly history: History<Drawing>
  readonly chosenId: number | null
  readonly hint: string
}

export const DIAMETER_MAX = 1000

interface Stroke {
  readonly does: StrokeKind
  readonly points: { x: number; y: number }[]
  last: HalfPoint
  box: Box
}

export class Annotator {
  #state: State
  #listeners = new Set<() => void>()
  #stroke: Stroke | null = null
  /** Pixels of the stroke under way, at image size; kept from stroke to stroke. */
  readonly #live: Bitmap
  #pointer: { x: number; y: number } | null = null

  readonly scores: ScoreMap | null
  /** Kinds of defects, in the order of their digits. */
  readonly classes: readonly string[]

  constructor(
    history: History<Drawing>,
    settings: BrushState,
    scores: ScoreMap | null = null,
    classes: readonly string[] = [],
  ) {
    this.scores = scores
    this.classes = classes
    this.#state = { history, ...settings, chosenId: null, hint: '' }
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

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  readonly getState = (): State => this.#state

  get drawing(): Drawing {
    return this.#state.history.present
  }

  /** The mark that keys act on: under the pointer, else the chosen one. */
  get target(): number | null {
    const under =
      this.#pointer && markAt(this.drawing, Math.floor(this.#pointer.x), Math.floor(this.#pointer.y))
    return under?.id ?? this.#state.chosenId
  }

  /** The stroke under way: its pixels so far and the box they are in. */
  get live(): {
    bitmap: Bitmap
    box: Box
    does: StrokeKind
    line: readonly { x: number; y: number }[]
  } | null {
    if (!this.#stroke) return null
    const line = this.#state.tool === 'lasso' ? this.#stroke.points : []
    return { bitmap: this.#live, box: this.#stroke.box, does: this.#stroke.does, line }
  }

  pointAt(point: { x: number; y: number } | null): void {
    this.#pointer = point
  }

  /** What a stroke would do that begins at a point. */
  strokeKindAt(x: number, y: number, isNew: boolean): StrokeKind {
    if (isNew) return { kind: 'new' }
    const mark = markAt(this.drawing, Math.floor(x), Math.floor(y))
    return mark ? { kind: 'grow', id: mark.id } : { kind: 'cut' }
  }

  beginStroke(x: number, y: number, isNew: boolean): Box {
    const last = snap(x, y, this.#state.diameter)
    this.#stroke = { does: this.strokeKindAt(x, y, isNew), points: [{ x, y }], last, box: EMPTY }
    return this.#paint(last)
  }

  /** Go on with the stroke. Returns the box of pixels that may have changed. */
  extendStroke(x: number, y: number): Box {
    if (!this.#stroke) return EMPTY
    this.#stroke.points.push({ x, y })
    return this.#paint(snap(x, y, this.#state.diameter))
  }

  endStroke(): void {
    const stroke = this.#stroke
    if (!stroke) return
    const pixels =
      this.#state.tool === 'lasso'
        ? polygonOf(
            stroke.points.map(({ x, y }) => ({ x: Math.round(2 * x), y: Math.round(2 * y) })),
            imageBox(this.drawing),
          )
        : cropped(boxOf(this.#live, stroke.box))
    this.cancelStroke()
    const { does } = stroke
    if (does.kind === 'grow') this.#step(grown(this.drawing, does.id, pixels), '', does.id)
    else if (does.kind === 'cut') this.#step(carved(this.drawing, pixels), text.hints.nothingCut)
    else this.#step(withMark(this.drawing, pixels), '', this.drawing.nextId)
  }

  cancelStroke(): void {
    if (!this.#stroke) return
    const { x, y, width, height } = this.#stroke.box
    for (let row = y; row < y + height; row++) {
      this.#live.pixels.fill(0, row * this.#live.width + x, row * this.#live.width + x + width)
    }
    this.#stroke = null
  }

  remove(id: number | null = this.target): void {
    if (id === null) this.#hint(text.hints.noMark)
    else this.#step(withoutMark(this.drawing, id), text.hints.noMark)
  }

  /** Grow (1) or shrink (-1) the mark along the map of scores; by one pixel where the machine sees nothing. */
  resize(by: 1 | -1): void {
    const id = this.target
    if (id === null) this.#hint(text.hints.noMark)
    else {
      const next = reshaped(this.drawing, id, (bitmap) => this.#resized(bitmap, by))
      this.#step(next, text.hints.noFurther)
    }
  }

  /** Mark what the machine sees at the pointer; begun inside a mark it is added to it. */
  wand(): void {
    if (!this.scores || !this.#pointer) {
      this.#hint(this.scores ? text.hints.noPointer : text.hints.noScores)
      return
    }
    const [x, y] = [Math.floor(this.#pointer.x), Math.floor(this.#pointer.y)]
    const seen = this.scores.seenAt(x, y, this.#state.diameter >> 1)
    const inside = markAt(this.drawing, x, y)
    if (isEmpty(seen)) this.#hint(text.hints.nothingSeen)
    else if (inside) this.#step(grown(this.drawing, inside.id, seen), text.hints.noFurther, inside.id)
    else this.#step(withMark(this.drawing, seen), '', this.drawing.nextId)
  }

  /** Give the mark the class of a digit; the same digit again takes it back. */
  setClass(digit: number): void {
    const id = this.target
    const name = this.classes[digit - 1]
    if (name === undefined) this.#hint(text.hints.noClass(digit, this.classes))
    else if (id === null) this.#hint(text.hints.noMark)
    else {
      const mark = this.drawing.marks.find((one) => one.id === id)
      this.#step(classed(this.drawing, id, mark?.className === name ? '' : name), '', id)
    }
  }

  /** Number that gives a mark its colour: the digit of its class, else its own number. */
  readonly colourNumber = (mark: Mark): number => {
    const digit = this.classes.indexOf(mark.className ?? '') + 1
    return digit || mark.id
  }

  /** The same of a mark by its id, which may be one that is about to be drawn. */
  colourNumberOf(id: number): number {
    const mark = this.drawing.marks.find((one) => one.id === id)
    return mark ? this.colourNumber(mark) : id
  }

  fillHoles(): void {
    const id = this.target
    if (id === null) this.#hint(text.hints.noMark)
    else this.#step(filled(this.drawing, id), text.hints.noHole)
  }

  merge(): void {
    const id = this.target
    const { chosenId } = this.#state
    if (id === null || chosenId === null || id === chosenId) this.#hint(text.hints.noOther)
    else this.#step(merged(this.drawing, chosenId, id), text.hints.noOther)
  }

  undo(): void {
    const history = undone(this.#state.history)
    this.#set({ history, hint: history === this.#state.history ? text.hints.nothingUndone : '' })
  }

  redo(): void {
    const history = redone(this.#state.history)
    this.#set({ history, hint: history === this.#state.history ? text.hints.nothingRedone : '' })
  }

  /** Choose the next (1) or previous (-1) mark; after the last comes none. Returns the chosen one. */
  choose(by: 1 | -1): number | null {
    const ids = this.drawing.marks.map((mark) => mark.id)
    const at = this.#state.chosenId === null ? -1 : ids.indexOf(this.#state.chosenId)
    const next = at < 0 && by < 0 ? ids.length - 1 : at + by
    this.#set({ chosenId: ids[next] ?? null })
    return this.#state.chosenId
  }

  chooseMark(id: number | null): void {
    this.#set({ chosenId: id })
  }

  setTool(tool: Tool): void {
    this.#set({ tool })
  }

  setDiameter(diameter: number): void {
    this.#set({ diameter: Math.min(DIAMETER_MAX, Math.max(1, Math.round(diameter))) })
  }

  /** A step of brush sizes: by one below 10 px, else by a tenth. */
  stepDiameter(by: 1 | -1): void {
    this.setDiameter(this.#state.diameter + by * Math.max(1, Math.round(this.#state.diameter / 10)))
  }

  hint(message: string): void {
    this.#hint(message)
  }

  #resized(bitmap: Bitmap, by: 1 | -1): Bitmap {
    if (this.scores && this.scores.levelOf(bitmap) >= FLOOR) return this.scores.resized(bitmap, by) ?? bitmap
    const image = imageBox(this.drawing)
    return by === 1 ? dilated(bitmap, image) : eroded(bitmap, image)
  }

  #paint(to: HalfPoint): Box {
    const stroke = this.#stroke as Stroke
    if (this.#state.tool === 'lasso') return EMPTY
    const box = paintCapsule(this.#live, stroke.last, to, this.#state.diameter)
    stroke.last = to
    stroke.box = union(stroke.box, box)
    return box
  }

  #step(next: Drawing, hintIfSame: string, chosenId: number | null = this.#state.chosenId): void {
    const history = stepped(this.#state.history, next)
    const hint = history === this.#state.history ? hintIfSame : ''
    const isThere = next.marks.some((mark) => mark.id === chosenId)
    this.#set({ history, hint, chosenId: isThere ? chosenId : null })
  }

  #hint(hint: string): void {
    this.#set({ hint })
  }

  #set(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change }
    if (!this.drawing.marks.some((mark) => mark.id === this.#state.chosenId)) {
      this.#state = { ...this.#state, chosenId: null }
    }
    for (const listener of this.#listeners) listener()
  }
}
