/** State of the annotator, which views read. */

import type { Drawing } from '../mask/drawing'
import type { History } from '../mask/history'
import type { Point, Tool } from './live'

export interface BrushState {
  readonly tool: Tool
  readonly diameter: number
}

export interface State extends BrushState {
  readonly history: History<Drawing>
  readonly chosenId: number | null
  readonly hint: string
  /** Where keys draw: moved by arrows, gone as soon as the pointer moves. */
  readonly crosshair: Point | null
}
