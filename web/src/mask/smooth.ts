/** Smoothing of marks, by the integer rule that `siad/vision/mask_objects.py` repeats. */

import { type Bitmap, type Box, boxOf, cropped, intersection, isEmpty } from './bitmap'

/**
 * Smooth the border: a pixel belongs to the mark where at least five of the nine pixels around it do.
 *
 * Beyond the image's border the pixel at the border counts again. Lines and holes of one pixel vanish, wider ones stay.
 */
export function smoothed(bitmap: Bitmap, image: Box): Bitmap {
  if (isEmpty(bitmap)) return bitmap
  const box = intersection(
    { x: bitmap.x - 1, y: bitmap.y - 1, width: bitmap.width + 2, height: bitmap.height + 2 },
    image,
  )
  const around = boxOf(bitmap, {
    x: box.x - 1,
    y: box.y - 1,
    width: box.width + 2,
    height: box.height + 2,
  })
  const lastX = image.width - 1
  const lastY = image.height - 1
  const at = (x: number, y: number) => {
    const column = Math.min(lastX, Math.max(0, x)) - around.x
    const row = Math.min(lastY, Math.max(0, y)) - around.y
    return around.pixels[row * around.width + column] ?? 0
  }
  const pixels = new Uint8Array(box.width * box.height)
  for (let row = 0; row < box.height; row++) {
    for (let column = 0; column < box.width; column++) {
      let count = 0
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) count += at(box.x + column + dx, box.y + row + dy)
      }
      pixels[row * box.width + column] = count >= 5 ? 1 : 0
    }
  }
  return cropped({ ...box, pixels })
}
