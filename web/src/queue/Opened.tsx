/** One capture of the queue in the annotator. */

import { useEffect, useMemo } from 'react'
import type { ReviewItem, Session, Verdict } from '../api/client'
import type { Deferral } from '../api/deferrals'
import { CaptureReview } from '../review/CaptureReview'
import { CaptureLoader } from '../review/capture'
import { Loaded } from '../review/Loaded'
import type { Done } from '../review/ReviewPage'

interface Props {
  readonly item: ReviewItem
  readonly revision: number
  readonly session: Session
  readonly classes: readonly string[]
  readonly progress: string
  readonly onStored: (done: Done, said: Verdict) => void
  readonly onNext: () => void
  readonly onPutOff: (deferral: Deferral) => void
  readonly onPrevious: () => void
}

export function Opened(props: Props) {
  const { item, revision, session, classes, progress, onStored, onNext, onPutOff, onPrevious } = props
  const loader = useMemo(() => new CaptureLoader(), [])
  useEffect(() => loader.keep([item]), [loader, item])
  useEffect(() => () => loader.keep([]), [loader])
  return (
    <Loaded key={`${item.capture_id} ${revision}`} item={item} loader={loader} onSkip={onNext}>
      {(capture, draft) => (
        <CaptureReview
          item={item}
          capture={capture}
          draft={draft}
          session={session}
          classes={classes}
          revision={revision}
          progress={progress}
          message=""
          onStored={onStored}
          onSkip={onNext}
          onPutOff={onPutOff}
          onPrevious={onPrevious}
        />
      )}
    </Loaded>
  )
}
