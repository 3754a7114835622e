/** The normal of a line that looks most like a capture. */

import { thumbnailAt } from '../api/captures'
import { type ReviewItem, readImage, readNormals } from '../api/client'

/** Side to which pictures are reduced to be compared. */
const SIDE = 32

/** Index of the picture nearest to another, by the sum of squared differences; -1 of none. */
export function nearestOf(wanted: Uint8ClampedArray, others: readonly Uint8ClampedArray[]): number {
  const distances = others.map((other) =>
    other.reduce((sum, value, at) => sum + (value - (wanted[at] ?? 0)) ** 2, 0),
  )
  return distances.indexOf(Math.min(...distances))
}

/** Load the nearest of a sample of normals; null where the line has none of this product. */
export async function loadGoodPart(item: ReviewItem, signal: AbortSignal): Promise<ImageBitmap | null> {
  const normals = await readNormals(item.line, item.product, signal)
  const [wanted, ...found] = await Promise.all(
    [item.capture_id, ...normals].map((capture_id) => reduced({ line: item.line, capture_id }, signal)),
  )
  if (!wanted) return null
  const known = normals.flatMap((id, at) => {
    const pixels = found[at]
    return pixels ? [{ id, pixels }] : []
  })
  const nearest =
    known[
      nearestOf(
        wanted,
        known.map(({ pixels }) => pixels),
      )
    ]
  if (!nearest) return null
  return createImageBitmap(await readImage({ ...item, capture_id: nearest.id }, signal))
}

/** Samples of a thumbnail at 32 x 32 px; null where the capture has no image any more. */
async function reduced(
  capture: Pick<ReviewItem, 'line' | 'capture_id'>,
  signal: AbortSignal,
): Promise<Uint8ClampedArray | null> {
  const response = await fetch(thumbnailAt(capture), { signal })
  if (!response.ok) return null
  const picture = await createImageBitmap(await response.blob())
  const ctx = new OffscreenCanvas(SIDE, SIDE).getContext('2d') as OffscreenCanvasRenderingContext2D
  ctx.drawImage(picture, 0, 0, SIDE, SIDE)
  picture.close()
  return ctx.getImageData(0, 0, SIDE, SIDE).data
}
