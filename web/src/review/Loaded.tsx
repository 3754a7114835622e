/** A capture once its image, marks and draft are there. */

import { useCallback, useEffect, useRef, useState } from 'react'
import type { ReviewItem } from '../api/client'
import { Failure, Loading } from '../app/parts'
import { text } from '../text'
import type { CaptureLoader, LoadedCapture } from './capture'
import { type Draft, readDraft } from './drafts'

interface LoadedProps {
  item: ReviewItem
  loader: CaptureLoader
  onSkip: () => void
  children: (capture: LoadedCapture, draft: Draft | undefined) => React.ReactNode
}

export function Loaded({ item, loader, onSkip, children }: LoadedProps) {
  const [result, setResult] = useState<{ capture: LoadedCapture; draft: Draft | undefined }>()
  const [error, setError] = useState<Error>()
  const attempt = useRef(0)
  const load = useCallback(() => {
    const number = ++attempt.current
    setError(undefined)
    Promise.all([loader.get(item), readDraft(item.capture_id)])
      .then(([capture, draft]) => {
        if (number === attempt.current) setResult({ capture, draft })
      })
      .catch((failure: Error) => {
        if (number === attempt.current) setError(failure)
      })
  }, [loader, item])
  useEffect(() => {
    load()
    return () => {
      attempt.current++
    }
  }, [load])
  if (error) {
    return (
      <Failure error={error} heading={text.review.imageFailed} onRetry={load}>
        <button type="button" onClick={onSkip}>
          {text.actions.skip}
        </button>
      </Failure>
    )
  }
  return result ? children(result.capture, result.draft) : <Loading />
}
