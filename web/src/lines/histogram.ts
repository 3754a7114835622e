/** Counts of scores in equal steps, with room for the thresholds that are shown over them. */

export interface Histogram {
  readonly from: number
  readonly to: number
  readonly counts: readonly number[]
}

/**
 * Count scores in bins.
 *
 * @param scores any numbers.
 * @param shown values that must lie within the range too.
 * @param bins how many.
 */
export function histogramOf(scores: readonly number[], shown: readonly number[], bins: number): Histogram {
  const values = [...scores, ...shown]
  const from = Math.min(...values)
  const to = Math.max(...values)
  const step = (to - from || 1) / bins
  const counts = new Array<number>(bins).fill(0)
  for (const score of scores) {
    const at = Math.min(bins - 1, Math.floor((score - from) / step))
    counts[at] = (counts[at] ?? 0) + 1
  }
  return { from, to: from + step * bins, counts }
}

/** Share of the range at which a value lies, 0..1. */
export function placeIn({ from, to }: Histogram, value: number): number {
  return (value - from) / (to - from)
}

/** Values in equal steps over the range, its ends included. */
export function ticksOf({ from, to }: Histogram, count: number): number[] {
  return Array.from({ length: count }, (_, at) => from + ((to - from) * at) / (count - 1))
}

/** Ends of the budget's slider, whose steps are equal ratios. */
export const BUDGET_MIN = 0.001
export const BUDGET_MAX = 0.5

export function budgetAt(position: number): number {
  const budget = BUDGET_MIN * (BUDGET_MAX / BUDGET_MIN) ** position
  return Number(budget.toPrecision(2))
}

export function positionOf(budget: number): number {
  const bounded = Math.min(BUDGET_MAX, Math.max(BUDGET_MIN, budget))
  return Math.log(bounded / BUDGET_MIN) / Math.log(BUDGET_MAX / BUDGET_MIN)
}
