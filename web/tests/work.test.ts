import { describe, expect, it } from 'vitest'
import { Annotator } from '../src/annotator/annotator'
import { digitOf } from '../src/annotator/keys'
import { drawingOf } from '../src/mask/drawing'
import { Effort } from '../src/review/effort'
import { objectsOf } from '../src/review/work'
import { text } from '../src/text'

const CLASSES = ['scratch', 'dent']

/** An annotator of a 20x10 image with marks of 4x4 px at (2, 2) and of 2x2 px at (12, 2). */
function begin(classes: readonly string[] = CLASSES): Annotator {
  const pixels = new Uint8Array(200)
  for (let y = 2; y < 6; y++) pixels.fill(255, y * 20 + 2, y * 20 + 6)
  for (let y = 2; y < 4; y++) pixels.fill(255, y * 20 + 12, y * 20 + 14)
  const settings = { tool: 'brush', diameter: 3 } as const
  return Annotator.of(drawingOf({ width: 20, height: 10, pixels }), settings, null, classes)
}

describe('classes', () => {
  it('have one key each, which acts on the mark under the pointer and takes itself back', () => {
    const annotator = begin()
    const names = () => annotator.drawing.marks.map((mark) => mark.className ?? '')
    annotator.pointAt({ x: 12.5, y: 2.5 })
    annotator.setClass(2)
    expect([names(), annotator.colourNumberOf(2)]).toEqual([['', 'dent'], 2])
    annotator.setClass(1)
    expect([names(), annotator.colourNumberOf(2)]).toEqual([['', 'scratch'], 1])
    annotator.setClass(1)
    expect([names(), annotator.colourNumberOf(2)]).toEqual([['', ''], 0]) // no colour of a class
    annotator.undo()
    expect(names()).toEqual(['', 'scratch'])
  })
  it('say why a digit can not act', () => {
    const annotator = begin()
    annotator.setClass(3)
    expect(annotator.getState().hint).toBe(text.hints.noClass(3, CLASSES))
    annotator.setClass(1)
    expect(annotator.getState().hint).toBe(text.hints.noMark)
    const without = begin([])
    without.setClass(1)
    expect(without.getState().hint).toContain('--classes')
  })
  it('are digits without Ctrl', () => {
    const press = { key: '3', ctrlKey: false, metaKey: false, altKey: false, shiftKey: false }
    expect([digitOf(press), digitOf({ ...press, ctrlKey: true }), digitOf({ ...press, key: '0' })]).toEqual([
      3, 0, 0,
    ])
  })
})

describe('what became of each mark', () => {
  it('is kept, reshaped, deleted or added', () => {
    const annotator = begin()
    const fates = () =>
      objectsOf(annotator.getState().history).map((one) => [
        one.fate,
        one.origin,
        one.area_px,
        one.class_name,
      ])
    expect(fates()).toEqual([
      ['kept', 'machine', 16, ''],
      ['kept', 'machine', 4, ''],
    ])
    annotator.pointAt({ x: 2.5, y: 2.5 })
    annotator.setClass(1)
    annotator.pointAt({ x: 12.5, y: 2.5 })
    annotator.remove()
    annotator.beginStroke(16.5, 7.5, true)
    annotator.endStroke()
    expect(fates()).toEqual([
      ['kept', 'machine', 16, 'scratch'],
      ['added', 'person', 9, ''],
      ['deleted', 'machine', 4, ''],
    ])
    annotator.pointAt({ x: 2.5, y: 2.5 })
    annotator.resize(1)
    annotator.resize(-1)
    expect(fates()[0]?.[0]).toBe('kept')
    annotator.resize(1)
    expect(fates()[0]?.slice(0, 3)).toEqual(['reshaped', 'machine', 36])
  })
})

describe('a good part', () => {
  it('keeps no mark: those of the machine are deleted', () => {
    const annotator = begin()
    expect(objectsOf(annotator.getState().history, true).map((one) => one.fate)).toEqual([
      'deleted',
      'deleted',
    ])
    annotator.beginStroke(16.5, 7.5, true)
    annotator.endStroke()
    expect(objectsOf(annotator.getState().history, true).map((one) => one.fate)).toEqual([
      'deleted',
      'deleted',
    ])
  })
})

describe('the effort', () => {
  it('counts keys, presses and seconds, and neither hidden nor idle ones', () => {
    const effort = new Effort(0)
    effort.key(2_000)
    effort.press(5_000)
    effort.work(100_000) // idle after 30 s
    effort.setVisible(false, 101_000)
    effort.setVisible(true, 500_000)
    expect(effort.figures(501_500)).toEqual({ active_s: 5 + 30 + 1 + 1.5, keys: 1, presses: 1 })
  })
})
