/** Times and names as the pages show them. */

/** Moment in the browser's zone, to the minute; the day only where it is not today's. */
export function moment(at: string, now = new Date()): string {
  const date = new Date(at)
  const time = date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })
  if (date.toDateString() === now.toDateString()) return time
  return `${date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })}, ${time}`
}

/** First digits of weights or of a training set, as the command line shows them. */
export function short(digest: string): string {
  return digest.slice(0, 12)
}

/** Figure with as many digits as it deserves; a share as a percentage. */
export function figure(name: string, value: number): string {
  if (name.startsWith('false_rejects')) return `${(100 * value).toFixed(1)}%`
  return Number.isInteger(value) && value !== 0 && value !== 1 ? String(value) : value.toFixed(3)
}
