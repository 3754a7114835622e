import { describe, expect, it } from 'vitest'
import type { Correction, ListedCapture } from '../src/api/captures'
import type { ReviewItem } from '../src/api/client'
import { placeOf, queueAt, reviewAt } from '../src/app/address'
import { afterUndo, beforeOf, changesOf } from '../src/queue/bulk'
import { DEFAULT, filtersOf, queryOf, searchOf } from '../src/queue/filters'
import { columnsOf, moved, toggled } from '../src/queue/grid'
import { itemOf } from '../src/queue/item'

describe('addresses', () => {
  it('name a page and its line', () => {
    expect(placeOf(reviewAt('press-1'))).toEqual({ page: 'review', line: 'press-1' })
    expect(placeOf(queueAt('press-1', 'state='))).toEqual({
      page: 'queue',
      line: 'press-1',
      search: 'state=',
    })
    expect(placeOf(queueAt('queue'))).toEqual({ page: 'queue', line: 'queue', search: '' })
  })
  it('that are cut show the lines', () => {
    for (const hash of ['', '#/', '#/lines/']) expect(placeOf(hash)).toEqual({ page: 'lines' })
  })
  it('that name nothing are no page', () => {
    for (const hash of ['#/lines/%E0%A4', '#/other']) expect(placeOf(hash)).toEqual({ page: 'none' })
  })
})

describe('filters', () => {
  it('come back from the address', () => {
    const filters = {
      ...DEFAULT,
      state: '' as const,
      class: 'dent & scratch',
      score_min: '1.5',
      order: 'newest' as const,
    }
    expect(filtersOf(searchOf(filters))).toEqual(filters)
    expect(searchOf(DEFAULT)).toBe('')
  })
  it('leave out what is no value of theirs', () => {
    expect(filtersOf('state=closed&verdict=bad&score_min=x&order=&other=1')).toEqual(DEFAULT)
  })
  it('ask the console only for what is chosen', () => {
    expect(queryOf(filtersOf('state=&product=cap'))).toEqual({ product: 'cap', order: 'score' })
    expect(queryOf(DEFAULT)).toEqual({ state: 'open', order: 'score' })
  })
})

describe('the grid', () => {
  it.each([
    ['ArrowRight', 0, 1],
    ['ArrowLeft', 0, 0],
    ['ArrowRight', 6, 6],
    ['ArrowDown', 1, 4],
    ['ArrowDown', 5, 6], // the last row is shorter
    ['ArrowDown', 6, 6],
    ['ArrowUp', 4, 1],
    ['ArrowUp', 2, 2],
    ['Home', 5, 0],
    ['End', 0, 6],
    ['x', 0, null],
  ])('of seven in rows of three: %s from %i to %s', (key, from, to) => {
    expect(moved(from, key, 3, 7)).toBe(to)
  })
  it('counts its columns', () => {
    expect([columnsOf([5, 5, 5, 90]), columnsOf([5, 5]), columnsOf([])]).toEqual([3, 2, 1])
  })
  it('selects and takes back', () => {
    const one = toggled(new Set(), 'a')
    expect([[...one], [...toggled(one, 'a')]]).toEqual([['a'], []])
  })
})

const FINDING = { weights: 'w', score: 2, threshold: 2, mask_uri: 's3://b/m.png' }
const LISTED: ListedCapture = {
  capture_id: 'a',
  line: 'press-1',
  product: 'cap',
  serial: '',
  captured_at: '2026-11-30T12:00:00Z',
  state: 'open',
  verdict: null,
  pseudo_mask: FINDING,
  answer: null,
  deferrals: [],
}

describe('bulk answers', () => {
  const item = itemOf(LISTED, undefined) as ReviewItem
  it('take the capture as the review or the labeler has it', () => {
    expect([item.decision, item.selection, item.weights]).toEqual(['reject', null, 'w'])
    expect(itemOf({ ...LISTED, pseudo_mask: null }, undefined)).toBeNull()
    const shown = { ...item, reason: 'drawn' }
    expect(itemOf(LISTED, shown)).toBe(shown)
  })
  it('undo no answer that changed nothing', () => {
    const stored = [
      { item, revision: 2, newest: 2, verdict: 'good' as const },
      { item: { ...item, capture_id: 'b' }, revision: 1, newest: 1, verdict: 'good' as const },
    ]
    const chosen = [
      { item, revision: 2 },
      { item: { ...item, capture_id: 'b' }, revision: 0 },
    ]
    expect(changesOf(chosen, stored).map((one) => one.item.capture_id)).toEqual(['b'])
  })
  it('are undone by the revision before, also where a later one exists', () => {
    const of = (revision: number) => ({ revision, verdict: 'good' }) as Correction
    expect(beforeOf([of(1), of(2), of(3)], 2)?.revision).toBe(1)
    expect(beforeOf([of(1)], 1)).toBeNull()
  })
  it('are undone one after the other, also of one capture', () => {
    const first = { item, revision: 1, newest: 1, verdict: 'defect' as const }
    const undone = { item, revision: 3, newest: 3, verdict: 'defect' as const }
    expect(afterUndo([first], [undone])).toEqual([{ ...first, newest: 3 }])
  })
})
