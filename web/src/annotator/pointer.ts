/** Pointer and wheel: strokes, zoom, pan and brush size. */

import { type Box, union } from '../mask/bitmap'
import type { Annotator } from './annotator'
import type { Point, StrokeKind } from './live'
import { colourOf } from './shapes'
import type { Stage } from './stage'

const CUT_COLOUR = '#ffffff'
/** A click that near to the first corner of a polygon closes it. */
const CLOSING_PX = 8

/** Listen to the surface of a stage until the signal. */
export function followPointer(stage: Stage, annotator: Annotator, signal: AbortSignal): void {
  const surface = stage.surface
  let panned: { x: number; y: number } | null = null
  let isSpaceDown = false
  let isShiftDown = false
  let at: Point | null = null
  surface.style.touchAction = 'none'
  surface.style.cursor = 'none'

  const colourFor = (does: StrokeKind) =>
    does.kind === 'grow'
      ? colourOf(annotator.colourNumberOf(does.id))
      : does.kind === 'new'
        ? colourOf(annotator.colourNumberOf(annotator.drawing.nextId))
        : CUT_COLOUR

  const drawCursor = () => {
    const { diameter, tool, crosshair } = annotator.getState()
    const point = crosshair ?? at
    if (!point || panned || isSpaceDown) return stage.drawCursor(null)
    const live = annotator.live
    const does = live?.settings.does ?? annotator.strokeKindAt(point.x, point.y, isShiftDown)
    const cursor = {
      ...point,
      diameter: tool === 'brush' ? diameter : 6 / stage.zoom,
      colour: colourFor(does),
      isCrosshair: crosshair !== null,
    }
    stage.drawCursor(cursor, live?.line(), live?.box)
  }

  const drawLive = (box: Box) => {
    const live = annotator.live
    if (live) stage.drawLive(live.bitmap, box, colourFor(live.settings.does))
  }

  const move = (event: PointerEvent) => {
    at = stage.imagePoint(event.offsetX, event.offsetY)
    isShiftDown = event.shiftKey
    annotator.pointAt(at)
  }

  /** Whether a click closes the polygon: it is at its first corner. */
  const isAtFirstCorner = (point: Point) => {
    const live = annotator.live
    if (live?.settings.tool !== 'polygon' || live.corners < 3) return false
    return Math.hypot(live.first.x - point.x, live.first.y - point.y) * stage.zoom < CLOSING_PX
  }

  /** Show what keys did: the crosshair moved, a stroke of theirs began or ended. */
  let seen = { crosshair: annotator.getState().crosshair, live: annotator.live }
  const follow = () => {
    const now = { crosshair: annotator.getState().crosshair, live: annotator.live }
    if (now.crosshair === seen.crosshair && now.live === seen.live) return
    if (seen.live && seen.live !== now.live) stage.clearLive(seen.live.box)
    if (now.crosshair && now.live) drawLive(now.live.box)
    seen = now
    drawCursor()
  }
  signal.addEventListener('abort', annotator.subscribe(follow))

  const listen = <Kind extends keyof HTMLElementEventMap>(
    kind: Kind,
    listener: (event: HTMLElementEventMap[Kind]) => void,
  ) => surface.addEventListener(kind, listener, { signal, passive: false })

  listen('pointerdown', (event) => {
    move(event)
    surface.setPointerCapture(event.pointerId)
    if (event.button === 1 || (event.button === 0 && isSpaceDown)) {
      panned = { x: event.clientX, y: event.clientY }
      surface.style.cursor = 'grabbing'
    } else if (event.button === 0 && at && (event.ctrlKey || event.metaKey)) {
      annotator.wand()
    } else if (event.button === 0 && at && isAtFirstCorner(at)) {
      annotator.finishStroke()
    } else if (event.button === 0 && at) {
      drawLive(annotator.beginStroke(at.x, at.y, event.shiftKey))
    }
    drawCursor()
    event.preventDefault()
  })

  listen('pointermove', (event) => {
    if (panned) {
      stage.pan(event.clientX - panned.x, event.clientY - panned.y)
      panned = { x: event.clientX, y: event.clientY }
      return
    }
    if (!annotator.live) {
      move(event)
      return drawCursor()
    }
    // a browser bundles the moves of one frame; a stroke needs them all
    const bundled = event.getCoalescedEvents()
    let box = { x: 0, y: 0, width: 0, height: 0 }
    for (const one of bundled.length > 0 ? bundled : [event]) {
      move(one)
      if (at) box = union(box, annotator.extendStroke(at.x, at.y))
    }
    drawLive(box)
    drawCursor()
  })

  listen('dblclick', () => {
    if (annotator.live?.settings.tool === 'polygon') annotator.finishStroke()
  })

  listen('pointerup', () => {
    if (panned) {
      panned = null
      surface.style.cursor = isSpaceDown ? 'grab' : 'none'
      return
    }
    annotator.endStroke()
    drawCursor()
  })

  listen('pointercancel', () => annotator.cancelStroke())

  listen('pointerleave', () => {
    if (annotator.live) return
    at = null
    annotator.pointAt(null)
    stage.drawCursor(null)
  })

  listen('wheel', (event) => {
    event.preventDefault()
    const turn = event.deltaY || event.deltaX // with Shift some browsers turn the wheel sideways
    if (turn === 0) return
    if (event.altKey) annotator.resize(turn < 0 ? 1 : -1)
    else if (event.shiftKey) annotator.stepDiameter(turn < 0 ? 1 : -1)
    else stage.zoomAt(event.offsetX, event.offsetY, turn < 0 ? 1.25 : 0.8)
    at = stage.imagePoint(event.offsetX, event.offsetY)
    annotator.pointAt(at)
    drawCursor()
  })

  listen('contextmenu', (event) => event.preventDefault())

  const onKey = (event: KeyboardEvent) => {
    isShiftDown = event.shiftKey
    if (event.code === 'Space') {
      isSpaceDown = event.type === 'keydown'
      surface.style.cursor = isSpaceDown ? 'grab' : 'none'
    }
    if (at) drawCursor()
  }
  window.addEventListener('keydown', onKey, { signal })
  window.addEventListener('keyup', onKey, { signal })
}
