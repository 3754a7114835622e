/** Commands that act on the annotator alone. */

import type { Annotator } from './annotator'
import type { Command } from './keys'
import { TOOLS } from './live'

const FAR = 10
const DIRECTIONS = { Left: [-1, 0], Right: [1, 0], Up: [0, -1], Down: [0, 1] } as const

/** Commands of the page itself, which no annotator knows. */
export type PageCommand =
  | 'accept'
  | 'good'
  | 'unsure'
  | 'skip'
  | 'putOff'
  | 'previous'
  | 'scores'
  | 'goodPart'
  | 'hide'
  | 'fit'
  | 'actualSize'
  | 'keys'

/** What each command does. One that returns false leaves its key to the browser. */
export function commandsOf(annotator: Annotator): Record<Exclude<Command, PageCommand>, () => unknown> {
  const found: Partial<Record<Command, () => unknown>> = {
    remove: () => (annotator.live ? annotator.undo() : annotator.remove()),
    grow: () => annotator.resize(1),
    shrink: () => annotator.resize(-1),
    wand: () => annotator.wand(),
    fillHoles: () => annotator.fillHoles(),
    smooth: () => annotator.smooth(),
    merge: () => annotator.merge(),
    split: () => annotator.split(),
    smaller: () => annotator.stepDiameter(-1),
    larger: () => annotator.stepDiameter(1),
    pen: () => annotator.pen(false),
    penNew: () => annotator.pen(true),
    cancel: () => annotator.cancelStroke(),
    undo: () => annotator.undo(),
    redo: () => annotator.redo(),
    // after the last mark the focus goes on, as everywhere
    nextMark: () => annotator.choose(1) !== null,
    previousMark: () => annotator.choose(-1) !== null,
  }
  for (const tool of TOOLS) found[tool] = () => annotator.setTool(tool)
  for (const [name, [dx, dy]] of Object.entries(DIRECTIONS)) {
    found[name.toLowerCase() as Command] = () => annotator.moveCrosshair(dx, dy)
    found[`far${name}` as Command] = () => annotator.moveCrosshair(FAR * dx, FAR * dy)
    found[`nudge${name}` as Command] = () => annotator.nudge(dx, dy)
  }
  return found as Record<Exclude<Command, PageCommand>, () => unknown>
}
