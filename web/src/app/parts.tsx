/** Parts of every page: loading and failure. */

import type { ReactNode } from 'react'
import { text } from '../text'

export function Loading() {
  return (
    <main className="centred" aria-busy="true">
      <p className="quiet">{text.loading}</p>
    </main>
  )
}

interface FailureProps {
  error: Error
  heading?: string
  onRetry: () => void
  children?: ReactNode
}

export function Failure({ error, heading, onRetry, children }: FailureProps) {
  return (
    <main className="centred" role="alert">
      {heading && <h1>{heading}</h1>}
      <p>{error.message}</p>
      <p>
        <button type="button" className="main" onClick={onRetry}>
          {text.retry}
        </button>{' '}
        {children}
      </p>
    </main>
  )
}
