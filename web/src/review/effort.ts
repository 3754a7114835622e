/** What an answer takes: seconds at work, keys, and presses of the pointer. */

/** A longer pause is no work beyond this. */
const IDLE_MS = 30_000

export interface EffortFigures {
  readonly active_s: number
  readonly keys: number
  readonly presses: number
}

/** Counts from the moment that a capture is shown. Times are in milliseconds of any clock. */
export class Effort {
  #activeMs = 0
  #keys = 0
  #presses = 0
  /** Last sign of work; null while the page is hidden. */
  #last: number | null

  constructor(now: number) {
    this.#last = now
  }

  key(now: number): void {
    this.#keys++
    this.work(now)
  }

  press(now: number): void {
    this.#presses++
    this.work(now)
  }

  /** A sign of work: a key, a move, a turn of the wheel. */
  work(now: number): void {
    if (this.#last !== null) this.#activeMs += Math.min(now - this.#last, IDLE_MS)
    this.#last = now
  }

  setVisible(is: boolean, now: number): void {
    if (!is) this.work(now)
    this.#last = is ? now : null
  }

  figures(now: number): EffortFigures {
    this.work(now)
    return { active_s: Math.round(this.#activeMs / 100) / 10, keys: this.#keys, presses: this.#presses }
  }
}

/** Count on the whole page until the signal. */
export function followEffort(effort: Effort, signal: AbortSignal): void {
  const now = () => performance.now()
  const listen = (kind: string, listener: (event: Event) => void) =>
    window.addEventListener(kind, listener, { signal, capture: true, passive: true })
  listen('keydown', (event) => {
    if (!(event as KeyboardEvent).repeat) effort.key(now())
  })
  listen('pointerdown', () => effort.press(now()))
  listen('pointermove', () => effort.work(now()))
  listen('wheel', () => effort.work(now()))
  document.addEventListener(
    'visibilitychange',
    () => effort.setVisible(document.visibilityState === 'visible', now()),
    { signal },
  )
}
