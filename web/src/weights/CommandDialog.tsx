/** A question before a command: what it does, and why it is given. */

import { useEffect, useId, useRef, useState } from 'react'
import type { CommandKind } from '../api/weights'
import { text } from '../text'

const REASON_MAX = 500

interface Props {
  readonly kind: CommandKind
  /** Of a rollback: the first digits of the weights to go back to; empty: those before. */
  readonly weights: string
  readonly error: string
  readonly isGiving: boolean
  readonly onGive: (reason: string) => void
  readonly onCancel: () => void
}

export function CommandDialog({ kind, weights, error, isGiving, onGive, onCancel }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [reason, setReason] = useState('')
  const heading = useId()
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  const means = text.weights.means[kind]
  return (
    <dialog
      ref={dialog}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault()
        onCancel()
      }}
    >
      <form
        className="command"
        onSubmit={(event) => {
          event.preventDefault()
          onGive(reason.trim())
        }}
      >
        <h2 id={heading}>{text.weights.ask[kind]}</h2>
        <p>{typeof means === 'string' ? means : means(weights)}</p>
        <label>
          {text.weights.reason}
          <input value={reason} maxLength={REASON_MAX} onChange={(event) => setReason(event.target.value)} />
        </label>
        {error && (
          <p role="alert" className="reject">
            {error}
          </p>
        )}
        <p className="buttons">
          <button type="submit" className="main" disabled={isGiving}>
            {text.weights.give}
          </button>
          <button type="button" onClick={onCancel}>
            {text.weights.cancel}
          </button>
        </p>
      </form>
    </dialog>
  )
}
