/** Filters of the queue, as its address and the console have them. */

/** Each is empty where it filters nothing. */
export interface Filters {
  readonly state: '' | 'open' | 'answered' | 'skipped'
  readonly verdict: '' | 'good' | 'defect' | 'unsure'
  readonly decision: '' | 'reject' | 'pass'
  readonly deferred: '' | 'true'
  readonly product: string
  readonly class: string
  readonly score_min: string
  readonly score_max: string
  readonly order: 'newest' | 'score'
}

export const CHOICES = {
  state: ['open', 'answered', 'skipped'],
  verdict: ['defect', 'good', 'unsure'],
  decision: ['reject', 'pass'],
  deferred: ['true'],
  order: ['score', 'newest'],
} as const

/** What is worth an answer first. */
export const DEFAULT: Filters = {
  state: 'open',
  verdict: '',
  decision: '',
  deferred: '',
  product: '',
  class: '',
  score_min: '',
  score_max: '',
  order: 'score',
}
const NAMES = Object.keys(DEFAULT) as (keyof Filters)[]

/** Read the filters of an address; what is none of a filter's values is left out. */
export function filtersOf(search: string): Filters {
  const given = new URLSearchParams(search)
  const found: Record<string, string> = { ...DEFAULT }
  for (const name of NAMES) {
    const value = given.get(name)
    if (value !== null && isValue(name, value)) found[name] = value
  }
  return found as unknown as Filters
}

function isValue(name: keyof Filters, value: string): boolean {
  if (name === 'score_min' || name === 'score_max') return value === '' || Number.isFinite(Number(value))
  if (name === 'product' || name === 'class') return true
  return (name !== 'order' && value === '') || (CHOICES[name] as readonly string[]).includes(value)
}

/** Write them for an address: only those that differ from the default. */
export function searchOf(filters: Filters): string {
  const changed = NAMES.filter((name) => filters[name] !== DEFAULT[name])
  return new URLSearchParams(changed.map((name) => [name, filters[name]])).toString()
}

/** What the console is asked for. */
export function queryOf(filters: Filters): Record<string, string> {
  return Object.fromEntries(NAMES.filter((name) => filters[name] !== '').map((name) => [name, filters[name]]))
}
