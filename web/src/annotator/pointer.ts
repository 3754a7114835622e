/** Pointer and wheel: strokes, zoom, pan and brush size. */

import { union } from '../mask/bitmap'
import type { Annotator, StrokeKind } from './annotator'
import { colourOf } from './shapes'
import type { Stage } from './stage'

const CUT_COLOUR = '#ffffff'

/** Listen to the surface of a stage until the signal. */
export function followPointer(stage: Stage, annotator: Annotator, signal: AbortSignal): void {
  const surface = stage.surface
  let panned: { x: number; y: number } | null = null
  let isSpaceDown = false
  let isShiftDown = false
  let at: { x: number; y: number } | null = null
  surface.style.touchAction = 'none'
  surface.style.cursor = 'none'

  const colourFor = (does: StrokeKind) =>
    does.kind === 'grow'
      ? colourOf(annotator.colourNumberOf(does.id))
      : does.kind === 'new'
        ? colourOf(annotator.drawing.nextId)
        : CUT_COLOUR

  const drawCursor = () => {
    if (!at || panned || isSpaceDown) return stage.drawCursor(null)
    const { diameter, tool } = annotator.getState()
    const live = annotator.live
    const does = live?.does ?? annotator.strokeKindAt(at.x, at.y, isShiftDown)
    const cursor = { ...at, diameter: tool === 'brush' ? diameter : 6 / stage.zoom, colour: colourFor(does) }
    stage.drawCursor(cursor, live?.line, live?.box)
  }

  const move = (event: PointerEvent) => {
    at = stage.imagePoint(event.offsetX, event.offsetY)
    isShiftDown = event.shiftKey
    annotator.pointAt(at)
  }

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
    } else if (event.button === 0 && at) {
      annotator.hint('')
      const box = annotator.beginStroke(at.x, at.y, event.shiftKey)
      const live = annotator.live
      if (live) stage.drawLive(live.bitmap, box, colourFor(live.does))
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
    const live = annotator.live
    if (live) stage.drawLive(live.bitmap, box, colourFor(live.does))
    drawCursor()
  })

  listen('pointerup', () => {
    if (panned) {
      panned = null
      surface.style.cursor = isSpaceDown ? 'grab' : 'none'
      return
    }
    const live = annotator.live
    annotator.endStroke()
    if (live) stage.clearLive(live.box)
    drawCursor()
  })

  listen('pointercancel', () => {
    const live = annotator.live
    annotator.cancelStroke()
    if (live) stage.clearLive(live.box)
  })

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
