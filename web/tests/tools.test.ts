import { describe, expect, it } from 'vitest'
import type { Annotator } from '../src/annotator/annotator'
import { commandsOf } from '../src/annotator/commands'
import { COMMANDS, chordOf, commandOf, DEFAULT_BINDINGS, labelOf, rebound } from '../src/annotator/keys'
import { area, type Bitmap } from '../src/mask/bitmap'
import { changesOf, withChanges } from '../src/review/bindings'
import { text } from '../src/text'
import { areas, begin, stroke } from './drawn'

describe('shapes', () => {
  const at = (annotator: Annotator, id: number) =>
    annotator.drawing.marks.find((mark) => mark.id === id)?.bitmap

  it.each([
    ['rectangle', 6 * 4],
    ['ellipse', 20],
  ] as const)('a %s goes from corner to corner, added, cut or new', (tool, size) => {
    const annotator = begin()
    annotator.setTool(tool)
    const [one, other]: [[number, number], [number, number]] = [
      [10.1, 3.2],
      [15.9, 7.4],
    ]
    stroke(annotator, [one, [12, 4], other], true)
    expect(areas(annotator)).toEqual([16, size])
    stroke(annotator, [[13, 5], other, [19, 9]]) // begun inside, it adds
    expect(area(at(annotator, 2) as Bitmap)).toBeGreaterThan(size)
    stroke(annotator, [
      [0, 0],
      [20, 10],
    ]) // begun outside, it takes away
    expect(annotator.drawing.marks.length).toBeLessThan(2)
  })
  it('a polygon takes corners until it is closed, and gives up without a trace', () => {
    const annotator = begin()
    annotator.setTool('polygon')
    const click = (x: number, y: number) => {
      annotator.beginStroke(x, y, true)
      annotator.endStroke()
    }
    click(10, 1)
    click(14, 1)
    click(19, 9)
    click(14, 4)
    annotator.undo() // the last corner
    annotator.undo()
    click(14, 4)
    click(10, 4)
    annotator.finishStroke()
    expect(areas(annotator)).toEqual([16, 12])
    click(1, 1)
    annotator.cancelStroke()
    expect([areas(annotator), annotator.live]).toEqual([[16, 12], null])
    click(1, 1)
    annotator.finishStroke()
    expect(annotator.getState().hint).toBe(text.hints.emptyShape)
  })
  it('are drawn by keys too: arrows move the crosshair, the pen presses and releases', () => {
    const annotator = begin()
    const commands = commandsOf(annotator)
    annotator.pen(false)
    expect(annotator.getState().hint).toBe(text.hints.noPointer)
    commands.right() // from the middle, (10, 5)
    commands.penNew()
    for (let step = 0; step < 4; step++) commands.right()
    commands.pen()
    expect(areas(annotator)).toEqual([16, 3 * 4 + 9])
    commands.nudgeUp()
    commands.nudgeUp()
    expect(at(annotator, 2)?.y).toBe(2)
    annotator.pointAt({ x: 1, y: 1 })
    expect(annotator.getState().crosshair).toBeNull()
  })
})

describe('marks', () => {
  it('split, merge, smooth and fill, or say why not', () => {
    const annotator = begin()
    annotator.pointAt({ x: 3, y: 3 })
    const hintOf = (act: () => void) => {
      act()
      return annotator.getState().hint
    }
    expect(hintOf(() => annotator.split())).toBe(text.hints.onePart)
    expect(hintOf(() => annotator.fillHoles())).toBe(text.hints.noHole)
    expect(hintOf(() => annotator.merge())).toBe(text.hints.noOther)
    annotator.setDiameter(1)
    stroke(annotator, [
      [7.5, 0.5],
      [4.5, 0.5],
      [4.5, 9.5],
    ]) // cuts the mark in two
    annotator.pointAt({ x: 3, y: 3 })
    annotator.split()
    expect(areas(annotator)).toEqual([8, 4])
    annotator.chooseMark(2)
    annotator.merge()
    expect(areas(annotator)).toEqual([12])
    annotator.pointAt(null)
    annotator.chooseMark(null)
    expect(hintOf(() => annotator.smooth())).toBe(text.hints.noMark)
  })
})

describe('keys of a person', () => {
  const press = { key: 'x', ctrlKey: false, metaKey: false, altKey: false, shiftKey: false }

  it('replace the default, and a conflict is named before anything is taken', () => {
    expect(rebound(DEFAULT_BINDINGS, 'good', 'x')).toEqual({ kind: 'taken', by: 'remove' })
    const forced = rebound(DEFAULT_BINDINGS, 'good', 'x', true)
    if (forced.kind !== 'done') throw new Error('the key was not given')
    expect(commandOf(press, forced.bindings)).toBe('good')
    expect(forced.bindings.remove).toEqual(['Delete', 'Backspace'])
    expect(commandOf({ ...press, key: 'g' }, forced.bindings)).toBeNull()
    for (const kept of ['5', ' ', 'Escape', 'Ctrl+w']) {
      expect(rebound(DEFAULT_BINDINGS, 'good', kept, true).kind).toBe('reserved')
    }
    expect(withChanges(JSON.parse(JSON.stringify(changesOf(forced.bindings))))).toEqual(forced.bindings)
    expect(withChanges({ good: 'x', nothing: ['y'], remove: [1] })).toEqual(DEFAULT_BINDINGS)
  })
  it('have no conflict from the start, and have names', () => {
    const every = COMMANDS.flatMap((command) => DEFAULT_BINDINGS[command])
    expect(new Set(every).size).toBe(every.length)
    const up = { ...press, key: 'ArrowUp', ctrlKey: true }
    expect([chordOf(up), labelOf(chordOf(up)), labelOf('x')]).toEqual(['Ctrl+ArrowUp', 'Ctrl+↑', 'X'])
    expect(chordOf({ ...press, key: 'Control' })).toBe('')
  })
})
