/** A good part beside the image, with the same zoom and place. */

import { useEffect, useRef } from 'react'
import { text } from '../text'
import type { Stage } from './stage'

export function Beside({ stage, picture }: { stage: Stage | null; picture: ImageBitmap }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  useEffect(() => {
    const element = canvas.current
    const ctx = element?.getContext('2d')
    if (!element || !ctx || !stage) return
    return stage.onView(({ zoom, left, top, width, height }) => {
      const ratio = window.devicePixelRatio
      if (element.width !== Math.round(width * ratio)) element.width = Math.round(width * ratio)
      if (element.height !== Math.round(height * ratio)) element.height = Math.round(height * ratio)
      ctx.setTransform(1, 0, 0, 1, 0, 0)
      ctx.clearRect(0, 0, element.width, element.height)
      ctx.setTransform(zoom * ratio, 0, 0, zoom * ratio, left * ratio, top * ratio)
      ctx.imageSmoothingEnabled = zoom < 1
      ctx.drawImage(picture, 0, 0)
    })
  }, [stage, picture])
  return (
    <figure className="beside">
      <canvas ref={canvas} role="img" aria-label={text.review.goodPart} />
      <figcaption>{text.review.goodPart}</figcaption>
    </figure>
  )
}
