/** What to do about an answer that was not stored. */

import { ApiError } from '../api/client'
import { text } from '../text'

interface FailureProps {
  error: Error
  onRetry: () => void
  onMine: () => void
  onNext: () => void
}

export function StoreFailure({ error, onRetry, onMine, onNext }: FailureProps) {
  const status = error instanceof ApiError ? error.status : 0
  const isConflict = status === 412
  const isGone = status === 404 || status === 409 || status === 410
  return (
    <div className="failure" role="alert">
      <p>
        <strong>
          {isConflict ? text.review.conflict : isGone ? text.review.deleted : text.review.notStored}
        </strong>{' '}
        {error.message}
      </p>
      {isConflict && (
        <button type="button" onClick={onMine}>
          {text.review.storeMine}
        </button>
      )}
      {!isConflict && !isGone && (
        <button type="button" onClick={onRetry}>
          {text.retry}
        </button>
      )}
      {(isConflict || isGone) && (
        <button type="button" onClick={onNext}>
          {isConflict ? text.review.keepTheirs : text.review.next}
        </button>
      )}
    </div>
  )
}
