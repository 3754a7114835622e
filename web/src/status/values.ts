/** Values of panels: their text, and their place on common times. */

import type { Series, Unit } from '../api/status'

const MIB = 2 ** 20

/** A value with its unit, short. */
export function valueText(value: number, unit: Unit): string {
  if (unit === 'percentunit') return `${short(100 * value, 3)}%`
  if (unit === 's') return Math.abs(value) < 1 ? `${short(1000 * value, 3)} ms` : durationText(value)
  if (unit === 'bytes') return `${short(value / MIB, 4)} MiB`
  return unit === 'ops' ? `${short(value, 4)}/s` : short(value, 4)
}

function durationText(seconds: number): string {
  if (seconds < 120) return `${short(seconds, 3)} s`
  if (seconds < 7200) return `${short(seconds / 60, 3)} min`
  return `${short(seconds / 3600, 3)} h`
}

function short(value: number, digits: number): string {
  return Number(value.toPrecision(digits)).toLocaleString('en', { maximumFractionDigits: 6 })
}

/** Times of all series, and the values of each at them; null where it has none. */
export function aligned(series: readonly Series[]): [number[], ...(number | null)[][]] {
  const times = [...new Set(series.flatMap(({ times_s }) => times_s))].sort((a, b) => a - b)
  const rows = series.map(({ times_s, values }) => {
    const known = new Map(times_s.map((time, at) => [time, values[at] ?? null]))
    return times.map((time) => known.get(time) ?? null)
  })
  return [times, ...rows]
}
