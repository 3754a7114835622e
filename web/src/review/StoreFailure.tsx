/** What to do about an answer that was not stored. */

import type { ReactNode } from 'react'
import { ApiError } from '../api/client'
import { text } from '../text'

interface FailureProps {
  error: Error
  onRetry: () => void
  onNext: () => void
  /** Both versions, where another answer was first. */
  children: ReactNode
}

export function StoreFailure({ error, onRetry, onNext, children }: FailureProps) {
  const status = error instanceof ApiError ? error.status : 0
  const isConflict = status === 412
  const isGone = status === 404 || status === 409 || status === 410
  return (
    <div className="failure" role="alert">
      <p>
        <strong>
          {isConflict ? text.review.conflict : isGone ? text.review.deleted : text.review.notStored}
        </strong>{' '}
        {!isConflict && error.message}
      </p>
      {isConflict && children}
      {!isConflict && !isGone && (
        <button type="button" onClick={onRetry}>
          {text.retry}
        </button>
      )}
      {isGone && (
        <button type="button" onClick={onNext}>
          {text.review.next}
        </button>
      )}
    </div>
  )
}
