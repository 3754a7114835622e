import { describe, expect, it } from 'vitest'
import { Annotator } from '../src/annotator/annotator'
import { COMMANDS, commandOf } from '../src/annotator/keys'
import { boxOf } from '../src/mask/bitmap'
import { emptyDrawing, imageBox, maskOf } from '../src/mask/drawing'
import { runsOf } from '../src/mask/rle'
import { ScoreMap } from '../src/mask/scores'
import { strokeOf } from '../src/mask/stroke'
import { text } from '../src/text'
import { areas, begin, settings, stroke } from './drawn'

describe('the brush', () => {
  it('adds where it begins inside a mark, and takes away where it begins outside', () => {
    const annotator = begin()
    stroke(annotator, [
      [4.5, 4.5],
      [9.5, 4.5],
    ])
    expect(areas(annotator)).toEqual([16 + 5 * 3])
    stroke(annotator, [
      [12.5, 4.5],
      [7.5, 4.5],
    ])
    expect(areas(annotator)).toEqual([16])
  })
  it('begins a new mark with Shift, also inside another', () => {
    const annotator = begin()
    stroke(annotator, [[4.5, 4.5]], true)
    expect(areas(annotator)).toEqual([16, 9])
    expect(annotator.getState().chosenId).toBe(2)
  })
  it('draws the same pixels move by move as in one', () => {
    const annotator = Annotator.of(emptyDrawing(20, 10), { tool: 'brush', diameter: 4 })
    const points: [number, number][] = [
      [3.2, 3.1],
      [9.9, 7.4],
      [9.9, 7.4],
      [17, 1],
    ]
    stroke(annotator, points, true)
    const image = imageBox(annotator.drawing)
    const whole = strokeOf(
      points.map(([x, y]) => ({ x: 2 * Math.round(x), y: 2 * Math.round(y) })),
      4,
      image,
    )
    expect(runsOf(boxOf(annotator.drawing.marks[0]?.bitmap ?? whole, image))).toEqual(
      runsOf(boxOf(whole, image)),
    )
    stroke(annotator, [[3.2, 3.1]], true) // nothing is left of the stroke before
    expect(areas(annotator)[1]).toBe(12)
  })
  it('says why a stroke did nothing', () => {
    const annotator = begin()
    stroke(annotator, [[15, 8]])
    expect(annotator.getState().hint).toBe(text.hints.nothingCut)
    expect(annotator.getState().history.past).toHaveLength(0)
  })
  it('changes nothing where a stroke is cancelled', () => {
    const annotator = begin()
    annotator.beginStroke(4.5, 4.5, false)
    annotator.cancelStroke()
    annotator.endStroke()
    expect(areas(annotator)).toEqual([16])
  })
})

describe('the lasso', () => {
  it('fills what it runs around', () => {
    const annotator = begin()
    annotator.setTool('lasso')
    stroke(
      annotator,
      [
        [10, 1],
        [14, 1],
        [14, 4],
        [10, 4],
      ],
      true,
    )
    expect(areas(annotator)).toEqual([16, 12])
  })
})

describe('the wand', () => {
  const pixels = new Uint8Array(200)
  for (let y = 6; y < 9; y++) pixels.fill(100, y * 20 + 12, y * 20 + 16)
  const scores = new ScoreMap({ width: 20, height: 10, pixels }, 20, 10)

  it('marks what the machine sees near the pointer, else says why not', () => {
    const annotator = Annotator.of(emptyDrawing(20, 10), settings, scores)
    annotator.wand()
    expect(annotator.getState().hint).toBe(text.hints.noPointer)
    annotator.pointAt({ x: 2, y: 2 })
    annotator.wand()
    expect(annotator.getState().hint).toBe(text.hints.nothingSeen)
    annotator.pointAt({ x: 11.5, y: 7 })
    annotator.wand()
    expect(areas(annotator)).toEqual([12])
    annotator.pointAt({ x: 13, y: 7 })
    annotator.wand()
    expect([areas(annotator), annotator.getState().hint]).toEqual([[12], text.hints.noFurther])
    annotator.resize(1)
    expect([areas(annotator), annotator.getState().hint]).toEqual([[12], text.hints.noFurther])
  })
})

describe('keys', () => {
  it('act on the mark under the pointer, else on the chosen one, else say why not', () => {
    const annotator = begin()
    stroke(annotator, [[15, 5]], true)
    annotator.chooseMark(2)
    annotator.pointAt({ x: 3.5, y: 3.5 })
    annotator.remove()
    expect(annotator.drawing.marks.map((mark) => mark.id)).toEqual([2])
    annotator.pointAt(null)
    annotator.remove()
    expect(annotator.drawing.marks).toEqual([])
    annotator.remove()
    expect(annotator.getState().hint).toBe(text.hints.noMark)
    annotator.undo()
    annotator.undo()
    expect(areas(annotator)).toEqual([16, 9])
    annotator.redo()
    expect(annotator.drawing.marks.map((mark) => mark.id)).toEqual([2])
  })
  it('grow and shrink, and walk the marks round', () => {
    const annotator = begin()
    expect([annotator.choose(1), annotator.choose(1), annotator.choose(-1)]).toEqual([1, null, 1])
    annotator.resize(1)
    expect(areas(annotator)).toEqual([36])
    annotator.resize(-1)
    annotator.resize(-1)
    expect(areas(annotator)).toEqual([4])
    annotator.resize(-1)
    expect(areas(annotator)).toEqual([])
    expect(maskOf(annotator.drawing).pixels.some((pixel) => pixel > 0)).toBe(false)
  })
  it('are those of the sheet', () => {
    const press = { key: 'X', ctrlKey: false, metaKey: false, altKey: false, shiftKey: true }
    expect(commandOf(press)).toBe('remove')
    expect(commandOf({ ...press, key: 'Z', ctrlKey: true })).toBe('redo')
    expect(commandOf({ ...press, key: 'z', ctrlKey: true, shiftKey: false })).toBe('undo')
    expect(commandOf({ ...press, key: 'g', ctrlKey: true })).toBeNull()
    for (const command of COMMANDS) expect(text.commands[command]).not.toBe('')
  })
})
