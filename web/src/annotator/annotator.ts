/** State of the annotator and every command on it, without canvas or page. */

import { type Bitmap, type Box, EMPTY, isEmpty } from '../mask/bitmap'
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
  moved,
  reshaped,
  smoothedMark,
  split,
  withMark,
  withoutMark,
} from '../mask/drawing'
import { begun, type History, redone, stepped, undone } from '../mask/history'
import { resizedBy, type ScoreMap } from '../mask/scores'
import { text } from '../text'
import { LiveStroke, type Point, type StrokeKind, type Tool } from './live'
import type { BrushState, State } from './state'

export const DIAMETER_MAX = 1000

export class Annotator {
  #state: State
  #listeners = new Set<() => void>()
  #stroke: LiveStroke | null = null
  /** Pixels of the stroke under way, at image size; kept from stroke to stroke. */
  readonly #live: Bitmap
  #pointer: Point | null = null

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
    this.#state = { history, ...settings, chosenId: null, hint: '', crosshair: null }
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
    if (this.#state.crosshair) this.#set({ crosshair: null })
  }

  /** Move the crosshair, from the pointer or the middle of the image. */
  moveCrosshair(dx: number, dy: number): void {
    const { width, height } = this.drawing
    const from = this.#pointer ?? { x: width / 2, y: height / 2 }
    const inside = (value: number, size: number) => Math.min(size - 1, Math.max(0, Math.floor(value))) + 0.5
    const crosshair = { x: inside(from.x + dx, width), y: inside(from.y + dy, height) }
    this.#pointer = crosshair
    this.#stroke?.extend(crosshair)
    this.#set({ crosshair })
  }

  /** Press the tool at the crosshair or pointer, or release it. */
  pen(isNew: boolean): void {
    const at = this.#pointer
    if (!at) this.#hint(text.hints.noPointer)
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
      this.#hint(text.hints.polygon)
      return EMPTY
    }
    this.cancelStroke()
    const { tool, diameter } = this.#state
    const settings = { tool, diameter, does: this.strokeKindAt(x, y, isNew) }
    this.#stroke = new LiveStroke(this.#live, settings, { x, y })
    this.#hint(tool === 'polygon' ? text.hints.polygon : '')
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
    if (isEmpty(pixels) && tool !== 'brush') this.#hint(text.hints.emptyShape)
    else if (does.kind === 'grow') this.#step(grown(this.drawing, does.id, pixels), '', does.id)
    else if (does.kind === 'cut') this.#step(carved(this.drawing, pixels), text.hints.nothingCut)
    else this.#step(withMark(this.drawing, pixels), '', this.drawing.nextId)
  }

  cancelStroke(): void {
    if (!this.#stroke) return
    this.#stroke.clear()
    this.#stroke = null
    this.#hint('')
  }

  remove(id: number | null = this.target): void {
    if (id === null) this.#hint(text.hints.noMark)
    else this.#step(withoutMark(this.drawing, id), text.hints.noMark)
  }

  /** Grow (1) or shrink (-1) the mark along the map of scores; by one pixel where the machine sees nothing. */
  resize(by: 1 | -1): void {
    const resized = (bitmap: Bitmap) => resizedBy(bitmap, by, this.scores, imageBox(this.drawing))
    this.#change((id) => reshaped(this.drawing, id, resized), text.hints.noFurther)
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

  /** Number that gives a mark its colour: the digit of its class; of a line without classes, its own number. */
  readonly colourNumber = (mark: Mark): number => {
    const digit = this.classes.indexOf(mark.className ?? '') + 1
    return digit || (this.classes.length ? 0 : mark.id)
  }

  /** The same of a mark by its id, which may be one that is about to be drawn. */
  colourNumberOf(id: number): number {
    const mark = this.drawing.marks.find((one) => one.id === id)
    return mark ? this.colourNumber(mark) : this.classes.length ? 0 : id
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
    this.#step(
      reshaped(this.drawing, id, () => bitmap),
      hintIfSame,
      id,
    )
  }

  merge(): void {
    const id = this.target
    const { chosenId } = this.#state
    if (id === null || chosenId === null || id === chosenId) this.#hint(text.hints.noOther)
    else this.#step(merged(this.drawing, chosenId, id), text.hints.noOther)
  }

  undo(): void {
    if (this.#stroke?.settings.tool === 'polygon') {
      if (this.#stroke.corners > 1) this.#stroke.dropCorner()
      else this.cancelStroke()
      this.#set({})
      return
    }
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
    this.cancelStroke()
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

  #change(change: (id: number) => Drawing, hintIfSame: string): void {
    const id = this.target
    if (id === null) this.#hint(text.hints.noMark)
    else this.#step(change(id), hintIfSame, id)
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
