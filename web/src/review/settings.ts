/** Brush and tool, remembered in this browser. */

import { TOOLS, type Tool } from '../annotator/live'

export interface BrushSettings {
  readonly tool: Tool
  readonly diameter: number
}

const NAME = 'siad-brush'
const DEFAULT: BrushSettings = { tool: 'brush', diameter: 8 }

export function readSettings(): BrushSettings {
  try {
    const known = JSON.parse(localStorage.getItem(NAME) ?? '{}')
    const isValid = Number.isInteger(known.diameter) && known.diameter >= 1 && known.diameter <= 1000
    return {
      tool: TOOLS.includes(known.tool) ? known.tool : DEFAULT.tool,
      diameter: isValid ? known.diameter : DEFAULT.diameter,
    }
  } catch {
    return DEFAULT
  }
}

export function writeSettings(settings: BrushSettings): void {
  try {
    localStorage.setItem(NAME, JSON.stringify(settings))
  } catch {
    // a browser without storage forgets them
  }
}
