import { expect, test } from 'vitest'
import { placeOf, settingsAt } from '../src/app/address'
import { joined } from '../src/lines/chosen'
import {
  BUDGET_MAX,
  BUDGET_MIN,
  budgetAt,
  histogramOf,
  placeIn,
  positionOf,
  ticksOf,
} from '../src/lines/histogram'

test('every score is counted once, the largest in the last bin', () => {
  const found = histogramOf([0, 1, 2, 10], [5], 10)
  expect(found.counts).toEqual([1, 1, 1, 0, 0, 0, 0, 0, 0, 1])
  expect(found.counts.reduce((sum, count) => sum + count)).toBe(4)
})

test('thresholds outside of the scores are within the range', () => {
  const found = histogramOf([1, 2], [5], 10)
  expect(placeIn(found, 5)).toBeCloseTo(1)
  expect(placeIn(found, 1)).toBe(0)
})

test('equal scores have one bin', () => {
  expect(histogramOf([3, 3], [3], 4).counts).toEqual([2, 0, 0, 0])
})

test('the axis names the ends of the range and equal steps between', () => {
  expect(ticksOf(histogramOf([1, 2], [5], 10), 5)).toEqual([1, 2, 3, 4, 5])
})

test('the slider goes from end to end, and a budget comes back as it was', () => {
  expect(budgetAt(0)).toBe(BUDGET_MIN)
  expect(budgetAt(1)).toBe(BUDGET_MAX)
  for (const budget of [0.001, 0.02, 0.05, 0.5]) expect(budgetAt(positionOf(budget))).toBe(budget)
  expect(positionOf(0.9)).toBe(1)
})

test('the address names the page', () => {
  expect(placeOf(settingsAt('press-1'))).toEqual({ page: 'settings', line: 'press-1' })
})

test('images of a second drop join those of the first, and none counts twice', () => {
  const file = (name: string, size: number) => new File(['x'.repeat(size)], name, { lastModified: 1 })
  const found = joined(
    [file('a.png', 1), file('b.png', 1)],
    [file('b.png', 1), file('b.png', 2), file('c.png', 1)],
  )
  expect(found.map((one) => `${one.name} ${one.size}`)).toEqual(['a.png 1', 'b.png 1', 'b.png 2', 'c.png 1'])
})
