import { expect, test } from 'vitest'
import type { Finding, ListedCapture } from '../src/api/captures'
import { newCommandId } from '../src/api/weights'
import { placeOf, weightsAt } from '../src/app/address'
import { differences } from '../src/weights/differences'
import { configures } from '../src/weights/may'
import { figure, moment } from '../src/weights/moments'

const finding = (weights: string, score: number): Finding => ({ weights, score, threshold: 2, mask_uri: '' })
const capture = (verdict: Finding | null, pseudo_mask: Finding | null, product = 'cap'): ListedCapture => ({
  capture_id: 'c',
  line: 'l',
  product,
  serial: '',
  captured_at: '',
  state: 'open',
  verdict,
  pseudo_mask,
  answer: null,
  deferrals: [],
})
const found = (one: ListedCapture) => differences([one], new Set(['segmenter']), 'cap').length

test('captures differ where teacher and segmenter decide differently', () => {
  expect(found(capture(finding('segmenter', 1), finding('teacher', 2)))).toBe(1)
  expect(found(capture(finding('segmenter', 2), finding('teacher', 1)))).toBe(1)
})

test.each([
  ['both reject', capture(finding('segmenter', 2), finding('teacher', 3))],
  ['the teacher judged it', capture(finding('teacher', 1), finding('teacher', 3))],
  ['no verdict', capture(null, finding('teacher', 3))],
  ['no pseudo-mask', capture(finding('segmenter', 1), null)],
  ['another product', capture(finding('segmenter', 1), finding('teacher', 3), 'lid')],
])('no difference: %s', (_, one) => expect(found(one)).toBe(0))

test('ids of commands are hex of one length and sort by time', () => {
  const [first, second] = [newCommandId(1_000), newCommandId(1_767_225_600_000)]
  expect(first).toMatch(/^[0-9a-f]{32}$/)
  expect(first < second).toBe(true)
  expect(newCommandId(1_000)).not.toBe(first)
})

test('the address names the page', () => {
  expect(placeOf(weightsAt('press-1'))).toEqual({ page: 'weights', line: 'press-1' })
  expect(placeOf('#/lines/weights')).toEqual({ page: 'review', line: 'weights' })
})

test('moments of today have no day', () => {
  const now = new Date(2026, 5, 4, 12, 0)
  expect(moment(new Date(2026, 5, 4, 9, 5).toISOString(), now)).toBe('09:05')
  expect(moment(new Date(2026, 5, 3, 9, 5).toISOString(), now)).toBe('3 Jun 2026, 09:05')
})

test('figures: shares in percent, counts whole', () => {
  expect(figure('false_rejects_serving', 0.0345)).toBe('3.5%')
  expect(figure('corrected_right', 12)).toBe('12')
  expect(figure('image_auroc', 1)).toBe('1.000')
})

test('engineers and administrators of a line or of all lines give commands', () => {
  expect(configures({ roles: { 'press-1': 'engineer' } }, 'press-1')).toBe(true)
  expect(configures({ roles: { '*': 'admin' } }, 'press-1')).toBe(true)
  expect(configures({ roles: { 'press-1': 'annotator', 'press-2': 'engineer' } }, 'press-1')).toBe(false)
})
