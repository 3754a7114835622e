import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { placeOf, statusAt } from '../src/app/address'
import { blocksOf, partsOf } from '../src/status/markdown'
import { searchOf, shownOf } from '../src/status/shown'
import { aligned, valueText } from '../src/status/values'

const RUNBOOKS = new URL('../../docs/runbooks/', import.meta.url)

test('unknown addresses are no page', () => {
  expect(placeOf('')).toEqual({ page: 'lines' })
  expect(placeOf('#/lines/press-1')).toEqual({ page: 'review', line: 'press-1' })
  expect(placeOf(statusAt('board=pods'))).toEqual({ page: 'status', search: 'board=pods' })
  for (const hash of ['#/nothing', '#/lines/press-1/nothing', '#/lines/%', '#/status/more']) {
    expect(placeOf(hash)).toEqual({ page: 'none' })
  }
})

test('what is shown comes back from its address, and a wrong time is an hour', () => {
  const shown = { board: 'line', line: 'press-1', minutes: 360 }
  expect(shownOf(searchOf(shown))).toEqual(shown)
  expect(searchOf(shownOf(''))).toBe('')
  for (const minutes of ['0', '-5', 'x', '1e9', '1.5']) expect(shownOf(`minutes=${minutes}`).minutes).toBe(60)
})

test('series with other times are aligned, with gaps', () => {
  const series = [
    { name: 'a', times_s: [1, 2], values: [10, 20] },
    { name: 'b', times_s: [2, 3], values: [5, 6] },
  ]
  expect(aligned(series)).toEqual([
    [1, 2, 3],
    [10, 20, null],
    [null, 5, 6],
  ])
})

test('values have their unit', () => {
  expect(valueText(0.0123, 's')).toBe('12.3 ms')
  expect(valueText(600, 's')).toBe('10 min')
  expect(valueText(0.051, 'percentunit')).toBe('5.1%')
  expect(valueText(3 * 2 ** 20, 'bytes')).toBe('3 MiB')
  expect(valueText(1.5, 'ops')).toBe('1.5/s')
  expect(valueText(12345, 'short')).toBe('12,350')
})

test('no line of a runbook is lost, and its code stays as it is', () => {
  for (const name of readdirSync(RUNBOOKS)) {
    const text = readFileSync(new URL(name, RUNBOOKS), 'utf8')
    const blocks = blocksOf(text)
    const shown = blocks.flatMap((block) =>
      block.kind === 'list' ? block.items : block.kind === 'table' ? block.rows.flat() : [block.text],
    )
    const words = (one: string) =>
      one.split(/[\s|]+/).filter((word) => /[a-z]{2}/i.test(word) && !/^```/.test(word))
    expect(words(shown.join('\n'))).toEqual(words(text))
    expect(blocks.some(({ kind }) => kind === 'code')).toBe(true)
  }
})

test('parts of a text are told apart', () => {
  expect(partsOf('see `a b`, **now** and [SiadBehind](SiadBehind.md).')).toEqual([
    { kind: 'text', text: 'see ' },
    { kind: 'code', text: 'a b' },
    { kind: 'text', text: ', ' },
    { kind: 'strong', text: 'now' },
    { kind: 'text', text: ' and ' },
    { kind: 'link', text: 'SiadBehind', to: 'SiadBehind.md' },
    { kind: 'text', text: '.' },
  ])
})
