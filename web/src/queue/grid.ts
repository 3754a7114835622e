/** Where a key leads in a grid of thumbnails that fills its rows one after the other. */

/** Place that a key leads to; null where the key is none of the grid's. */
export function moved(at: number, key: string, columns: number, count: number): number | null {
  const last = count - 1
  const to: Record<string, number> = {
    ArrowLeft: at - 1,
    ArrowRight: at + 1,
    ArrowUp: at - columns < 0 ? at : at - columns,
    // from above a shorter last row to its end
    ArrowDown: Math.floor(at / columns) === Math.floor(last / columns) ? at : at + columns,
    Home: 0,
    End: last,
  }
  const next = to[key]
  return next === undefined ? null : Math.max(0, Math.min(last, next))
}

/** Columns of the first row, by the heights at which the places begin. */
export function columnsOf(tops: readonly number[]): number {
  const end = tops.findIndex((top) => top !== tops[0])
  return Math.max(1, end < 0 ? tops.length : end)
}

/** A set with one more or, where it has that already, without it. */
export function toggled(set: ReadonlySet<string>, one: string): ReadonlySet<string> {
  const next = new Set(set)
  if (!next.delete(one)) next.add(one)
  return next
}
