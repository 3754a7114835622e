import { expect, test } from 'vitest'
import { nearestOf } from '../src/review/goodPart'

const pixels = (...values: number[]) => Uint8ClampedArray.from(values)

test('the nearest picture is the one with the least differences', () => {
  expect(nearestOf(pixels(10, 200), [pixels(10, 100), pixels(12, 198), pixels(200, 10)])).toBe(1)
  expect(nearestOf(pixels(10, 200), [])).toBe(-1)
})
