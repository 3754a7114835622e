/** State of the annotator, its steps and its listeners. */

import type { Drawing, Mark } from '../mask/drawing'
import { type History, redone, stepped, undone } from '../mask/history'
import { text } from '../text'
import type { BrushState, State } from './state'

export const DIAMETER_MAX = 1000

export class Editor {
  #state: State
  #listeners = new Set<() => void>()

  /** Kinds of defects, in the order of their digits. */
  readonly classes: readonly string[]

  constructor(history: History<Drawing>, settings: BrushState, classes: readonly string[]) {
    this.classes = classes
    this.#state = { history, ...settings, chosenId: null, hint: '', crosshair: null }
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  readonly getState = (): State => this.#state

  get drawing(): Drawing {
    return this.#state.history.present
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

  undo(): void {
    const history = undone(this.#state.history)
    this.set({ history, hint: history === this.#state.history ? text.hints.nothingUndone : '' })
  }

  redo(): void {
    const history = redone(this.#state.history)
    this.set({ history, hint: history === this.#state.history ? text.hints.nothingRedone : '' })
  }

  /** Choose the next (1) or previous (-1) mark; after the last comes none. Returns the chosen one. */
  choose(by: 1 | -1): number | null {
    const ids = this.drawing.marks.map((mark) => mark.id)
    const at = this.#state.chosenId === null ? -1 : ids.indexOf(this.#state.chosenId)
    const next = at < 0 && by < 0 ? ids.length - 1 : at + by
    this.set({ chosenId: ids[next] ?? null })
    return this.#state.chosenId
  }

  chooseMark(id: number | null): void {
    this.set({ chosenId: id })
  }

  setDiameter(diameter: number): void {
    this.set({ diameter: Math.min(DIAMETER_MAX, Math.max(1, Math.round(diameter))) })
  }

  /** A step of brush sizes: by one below 10 px, else by a tenth. */
  stepDiameter(by: 1 | -1): void {
    this.setDiameter(this.#state.diameter + by * Math.max(1, Math.round(this.#state.diameter / 10)))
  }

  /** Change the drawing by one step, which can be undone. */
  apply(change: (drawing: Drawing) => Drawing, hintIfSame = ''): void {
    this.step(change(this.drawing), hintIfSame)
  }

  hint(message: string): void {
    this.set({ hint: message })
  }

  protected step(next: Drawing, hintIfSame: string, chosenId: number | null = this.#state.chosenId): void {
    const history = stepped(this.#state.history, next)
    const hint = history === this.#state.history ? hintIfSame : ''
    const isThere = next.marks.some((mark) => mark.id === chosenId)
    this.set({ history, hint, chosenId: isThere ? chosenId : null })
  }

  protected set(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change }
    if (!this.drawing.marks.some((mark) => mark.id === this.#state.chosenId)) {
      this.#state = { ...this.#state, chosenId: null }
    }
    for (const listener of this.#listeners) listener()
  }
}
