/** A capture ready to be shown: its image and the drawing to begin with. */

import { ApiError, type ReviewItem, readImage, readMask, readScoreMap } from '../api/client'
import type { Raster } from '../mask/components'
import { type Drawing, drawingOf, emptyDrawing } from '../mask/drawing'
import { ScoreMap } from '../mask/scores'
import { text } from '../text'

export interface LoadedCapture {
  readonly picture: ImageBitmap
  readonly drawing: Drawing
  readonly scores: ScoreMap | null
  /** What the person should know before the first key. */
  readonly note: string
}

// no colour conversion: what is shown and stored are the samples of the file
const AS_STORED: ImageBitmapOptions = { colorSpaceConversion: 'none', premultiplyAlpha: 'none' }

async function load(item: ReviewItem, signal: AbortSignal): Promise<LoadedCapture> {
  const [image, mask, map] = await Promise.all([
    readImage(item, signal),
    readMask(item, signal).catch((error) => {
      // the mask expired or was replaced meanwhile: the person begins without marks, and is told
      if (error instanceof ApiError && error.status === 404) return null
      throw error
    }),
    readScoreMap(item, signal),
  ])
  const picture = await createImageBitmap(image, AS_STORED)
  const { width, height } = picture
  const scores = map && new ScoreMap(await rasterOf(map), width, height)
  const raster = mask && (await rasterOf(mask))
  if (raster?.width === width && raster.height === height) {
    return { picture, drawing: drawingOf(raster), scores, note: '' }
  }
  const note = item.mask_uri === '' ? '' : text.review.marksMissing
  return { picture, drawing: emptyDrawing(width, height), scores, note }
}

/** Grey samples of a PNG. */
export async function rasterOf(png: Blob): Promise<Raster> {
  const bitmap = await createImageBitmap(png, AS_STORED)
  const { width, height } = bitmap
  const ctx = new OffscreenCanvas(width, height).getContext('2d') as OffscreenCanvasRenderingContext2D
  ctx.drawImage(bitmap, 0, 0)
  bitmap.close()
  const { data } = ctx.getImageData(0, 0, width, height)
  const pixels = new Uint8Array(width * height)
  for (let at = 0; at < pixels.length; at++) pixels[at] = data[4 * at] ?? 0
  return { width, height, pixels }
}

/** Loads captures ahead, and frees those that are no longer near. */
export class CaptureLoader {
  readonly #held = new Map<string, { result: Promise<LoadedCapture>; ending: AbortController }>()

  /** The capture, loaded once; a failure is tried again by the next call. */
  get(item: ReviewItem): Promise<LoadedCapture> {
    const key = keyOf(item)
    const known = this.#held.get(key)
    if (known) return known.result
    const ending = new AbortController()
    const result = load(item, ending.signal)
    result.catch(() => this.#held.delete(key))
    this.#held.set(key, { result, ending })
    return result
  }

  /** Load what comes next, and free everything else. */
  keep(items: readonly ReviewItem[]): void {
    const kept = new Set(items.map(keyOf))
    for (const [key, { result, ending }] of this.#held) {
      if (kept.has(key)) continue
      this.#held.delete(key)
      ending.abort()
      result.then(({ picture }) => picture.close()).catch(() => undefined)
    }
    for (const item of items) void this.get(item).catch(() => undefined)
  }
}

function keyOf(item: ReviewItem): string {
  return `${item.capture_id} ${item.mask_uri}`
}
