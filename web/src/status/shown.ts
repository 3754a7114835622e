/** What the page Status shows, as its address has it. */

export interface Shown {
  readonly board: string
  /** Empty: every line. */
  readonly line: string
  readonly minutes: number
}

const DEFAULT: Shown = { board: 'fleet', line: '', minutes: 60 }
const MINUTES_MAX = 31 * 24 * 60

export function shownOf(search: string): Shown {
  const given = new URLSearchParams(search)
  const minutes = Number(given.get('minutes') ?? DEFAULT.minutes)
  return {
    board: given.get('board') ?? DEFAULT.board,
    line: given.get('line') ?? DEFAULT.line,
    minutes: Number.isInteger(minutes) && minutes >= 1 && minutes <= MINUTES_MAX ? minutes : DEFAULT.minutes,
  }
}

/** Write it for an address: only what differs from the default. */
export function searchOf(shown: Shown): string {
  const changed = Object.entries(shown).filter(([name, value]) => value !== DEFAULT[name as keyof Shown])
  return new URLSearchParams(changed.map(([name, value]) => [name, String(value)])).toString()
}
