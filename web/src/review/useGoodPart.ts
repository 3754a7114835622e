/** The good part beside a capture: shown or not. */

import { useCallback, useEffect, useRef, useState } from 'react'
import type { Annotator } from '../annotator/annotator'
import type { ReviewItem } from '../api/client'
import { text } from '../text'
import { loadGoodPart } from './goodPart'

export function useGoodPart(item: ReviewItem, annotator: Annotator) {
  const [picture, setPicture] = useState<ImageBitmap | null>(null)
  const loading = useRef<AbortController | null>(null)
  useEffect(() => () => loading.current?.abort(), [])
  useEffect(() => () => picture?.close(), [picture])
  const toggle = useCallback(() => {
    loading.current?.abort()
    if (picture) {
      setPicture(null)
      return
    }
    const ending = new AbortController()
    loading.current = ending
    annotator.hint(text.loading)
    loadGoodPart(item, ending.signal)
      .then((found) => {
        if (ending.signal.aborted) {
          found?.close()
          return
        }
        setPicture(found)
        annotator.hint(found ? '' : text.hints.noGoodPart)
      })
      .catch((error: Error) => {
        if (!ending.signal.aborted) annotator.hint(`${text.hints.goodPartFailed}: ${error.message}`)
      })
  }, [picture, item, annotator])
  return [picture, toggle] as const
}
