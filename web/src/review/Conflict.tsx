/** Two answers to one capture: both versions over the image, and the choice between them. */

import { useQuery } from '@tanstack/react-query'
import { useEffect, useMemo, useRef } from 'react'
import { type Correction, readCorrections } from '../api/captures'
import { type ReviewItem, readMask } from '../api/client'
import type { Raster } from '../mask/components'
import { type Drawing, maskOf } from '../mask/drawing'
import { BOTH, type Difference, differenceOf, MINE, THEIRS } from '../mask/versions'
import { text } from '../text'
import { rasterOf } from './capture'

interface Props {
  readonly item: ReviewItem
  readonly picture: ImageBitmap
  readonly drawing: Drawing
  readonly onMine: (revision: number) => void
  readonly onTheirs: () => void
  readonly onMerge: (theirs: Correction, mask: Raster) => void
}

interface Other {
  readonly answer: Correction
  readonly mask: Raster | null
}

export function Conflict({ item, picture, drawing, onMine, onTheirs, onMerge }: Props) {
  const { width, height } = drawing
  const other = useQuery({
    queryKey: ['conflict', item.capture_id],
    queryFn: () => readOther(item),
    gcTime: 0,
    staleTime: 0,
  })
  const mine = useMemo(() => maskOf(drawing), [drawing])
  const mask = other.data?.mask ?? null
  const difference = useMemo(
    () => differenceOf(mine, mask ?? { width, height, pixels: new Uint8Array(width * height) }),
    [mine, mask, width, height],
  )
  if (other.isPending) return <p>{text.loading}</p>
  if (other.isError) {
    return (
      <>
        <p>{other.error.message}</p>
        <button type="button" onClick={() => void other.refetch()}>
          {text.retry}
        </button>
      </>
    )
  }
  const { answer } = other.data
  return (
    <>
      <p>{text.conflict.theirs(answer.author, answer.verdict, answer.revision)}</p>
      <div className="versions">
        <Picture picture={picture} difference={difference} shows={[BOTH, MINE]} label={text.conflict.mine} />
        <Picture
          picture={picture}
          difference={difference}
          shows={[BOTH, THEIRS]}
          label={text.conflict.other}
        />
        <Picture
          picture={picture}
          difference={difference}
          shows={[MINE, THEIRS]}
          label={text.conflict.differ}
        />
      </div>
      <p className="quiet">{text.conflict.counts(difference.both, difference.mine, difference.theirs)}</p>
      <button type="button" onClick={() => onMine(answer.revision)}>
        {text.review.storeMine}
      </button>
      <button type="button" onClick={onTheirs}>
        {text.review.keepTheirs}
      </button>
      {mask && difference.theirs > 0 && (
        <button type="button" onClick={() => onMerge(answer, mask)}>
          {text.conflict.merge}
        </button>
      )}
    </>
  )
}

async function readOther(item: ReviewItem): Promise<Other> {
  const answer = (await readCorrections(item)).at(-1)
  if (!answer) throw new Error(text.conflict.gone)
  const mask = await readMask({ ...item, mask_uri: answer.mask_uri })
  return { answer, mask: mask && (await rasterOf(mask)) }
}

const SIDE_PX = 360
const COLOURS: Readonly<Record<number, readonly [number, number, number]>> = {
  [BOTH]: [255, 255, 255],
  [MINE]: [76, 201, 240],
  [THEIRS]: [255, 159, 28],
}

interface PictureProps {
  readonly picture: ImageBitmap
  readonly difference: Difference
  /** Kinds of pixels that are tinted. */
  readonly shows: readonly number[]
  readonly label: string
}

/** The image with some pixels tinted; mine are striped one way, theirs the other. */
function Picture({ picture, difference, shows, label }: PictureProps) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const { width, height, pixels } = difference
  const scale = Math.min(1, SIDE_PX / Math.max(width, height))
  useEffect(() => {
    const ctx = canvas.current?.getContext('2d')
    if (!ctx) return
    const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))]
    ctx.canvas.width = w
    ctx.canvas.height = h
    ctx.drawImage(picture, 0, 0, w, h)
    const shown = ctx.getImageData(0, 0, w, h)
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        const kind = pixels[Math.floor(y / scale) * width + Math.floor(x / scale)] ?? 0
        const colour = COLOURS[kind]
        const isStripe = kind === MINE ? (x + y) % 6 < 4 : kind === THEIRS ? (x - y + h * 6) % 6 < 4 : true
        if (!colour || !shows.includes(kind) || !isStripe) continue
        for (const channel of [0, 1, 2]) {
          const at = 4 * (y * w + x) + channel
          shown.data[at] = 0.4 * (shown.data[at] ?? 0) + 0.6 * (colour[channel] ?? 0)
        }
      }
    }
    ctx.putImageData(shown, 0, 0)
  }, [picture, pixels, width, height, scale, shows])
  return (
    <figure>
      <canvas ref={canvas} role="img" aria-label={label} />
      <figcaption>{label}</figcaption>
    </figure>
  )
}
