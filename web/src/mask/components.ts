/** Connected parts of a mask at image size. */

import type { Bitmap } from './bitmap'

/** Pixels of a whole image, row by row. */
export interface Raster {
  readonly width: number
  readonly height: number
  readonly pixels: Uint8Array | Uint8ClampedArray
}

/**
 * The parts of pixels of one value that touch by edge or corner, in the order of their first pixels.
 *
 * Each is cropped to its box. One pass over runs of pixels, so that 10,000 specks cost no more than one.
 */
export function componentsOf(raster: Raster, value: number): Bitmap[] {
  const runs = findRuns(raster, value)
  const boxes = new Map<number, { left: number; right: number; top: number; bottom: number; runs: Run[] }>()
  for (const run of runs.list) {
    const root = runs.rootOf(run.label)
    const box = boxes.get(root)
    if (box === undefined) {
      boxes.set(root, { left: run.start, right: run.end, top: run.row, bottom: run.row, runs: [run] })
    } else {
      box.left = Math.min(box.left, run.start)
      box.right = Math.max(box.right, run.end)
      box.bottom = run.row
      box.runs.push(run)
    }
  }
  return [...boxes.values()].map((box) => {
    const width = box.right - box.left
    const height = box.bottom - box.top + 1
    const pixels = new Uint8Array(width * height)
    for (const run of box.runs) {
      const row = (run.row - box.top) * width - box.left
      pixels.fill(1, row + run.start, row + run.end)
    }
    return { x: box.left, y: box.top, width, height, pixels }
  })
}

interface Run {
  readonly row: number
  readonly start: number
  readonly end: number
  readonly label: number
}

function findRuns({ width, height, pixels }: Raster, value: number) {
  const list: Run[] = []
  const parents: number[] = []
  const rootOf = (label: number): number => {
    let root = label
    while (parents[root] !== root) root = parents[root] ?? root
    let at = label
    while (at !== root) {
      const next = parents[at] ?? root
      parents[at] = root
      at = next
    }
    return root
  }
  let above: Run[] = []
  for (let row = 0; row < height; row++) {
    const here: Run[] = []
    const end = (row + 1) * width
    let at = row * width
    let candidate = 0
    while (at < end) {
      if (pixels[at] !== value) {
        at++
        continue
      }
      const start = at
      while (at < end && pixels[at] === value) at++
      const run = { row, start: start - row * width, end: at - row * width, label: parents.length }
      parents.push(run.label)
      while (candidate < above.length && (above[candidate] as Run).end < run.start) candidate++
      for (let i = candidate; i < above.length && (above[i] as Run).start <= run.end; i++) {
        const [a, b] = [rootOf((above[i] as Run).label), rootOf(run.label)]
        parents[Math.max(a, b)] = Math.min(a, b)
      }
      here.push(run)
    }
    list.push(...here)
    above = here
  }
  return { list, rootOf }
}
