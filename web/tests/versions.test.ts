import { expect, test } from 'vitest'
import type { Raster } from '../src/mask/components'
import { drawingOf, emptyDrawing, maskOf } from '../src/mask/drawing'
import { BOTH, differenceOf, MINE, THEIRS, withTheirs } from '../src/mask/versions'

function raster(rows: readonly string[]): Raster {
  const width = rows[0]?.length ?? 0
  const pixels = Uint8Array.from(
    rows
      .join('')
      .split('')
      .map((one) => (one === '#' ? 255 : one === '?' ? 128 : 0)),
  )
  return { width, height: rows.length, pixels }
}

const MY_MASK = raster(['##..', '##..', '....'])
const THEIR_MASK = raster(['.#..', '....', '.?##'])

test('each pixel says which mask has it', () => {
  const found = differenceOf(MY_MASK, THEIR_MASK)
  const [none, both, mine, theirs] = [0, BOTH, MINE, THEIRS]
  expect([...found.pixels]).toEqual([
    mine,
    both,
    none,
    none,
    mine,
    mine,
    none,
    none,
    none,
    none,
    theirs,
    theirs,
  ])
  expect([found.both, found.mine, found.theirs]).toEqual([1, 3, 2])
})

test('one drawing of both has every pixel, and the classes of their marks', () => {
  const boxes = [
    { x: 0, y: 0, width: 4, height: 3, fate: 'kept', class_name: 'dent' },
    { x: 2, y: 2, width: 2, height: 1, fate: 'added', class_name: 'scratch' },
    { x: 2, y: 2, width: 1, height: 1, fate: 'deleted', class_name: 'other' },
  ]
  const both = withTheirs(drawingOf(MY_MASK), THEIR_MASK, boxes)
  expect([...maskOf(both).pixels]).toEqual([...raster(['##..', '##..', '..##']).pixels])
  expect(both.marks.map((mark) => [mark.origin, mark.className])).toEqual([
    ['machine', undefined],
    ['person', 'scratch'],
  ])
})

test('where they have nothing more, nothing changes', () => {
  const mine = drawingOf(MY_MASK)
  expect(withTheirs(mine, raster(['##..', '....', '....']))).toBe(mine)
  expect(withTheirs(emptyDrawing(4, 3), raster(['....', '....', '....'])).marks).toEqual([])
})
