/** The question why a capture is put off: a digit, or words and Enter. */

import { useEffect, useRef, useState } from 'react'
import type { ReviewItem } from '../api/client'
import { type Deferral, putOff, REASON_MAX } from '../api/deferrals'
import { text } from '../text'

interface Props {
  readonly item: ReviewItem
  readonly person: string
  readonly onPutOff: (deferral: Deferral) => void
  readonly onClose: () => void
}

export function PutOff({ item, person, onPutOff, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [own, setOwn] = useState('')
  const [isStoring, setStoring] = useState(false)
  const [failure, setFailure] = useState('')
  useEffect(() => {
    dialog.current?.showModal()
  }, [])

  const choose = async (reason: string) => {
    if (isStoring || reason.trim() === '') return
    setStoring(true)
    setFailure('')
    try {
      onPutOff(await putOff(item, person, reason.trim()))
    } catch (error) {
      setFailure(text.deferrals.refused((error as Error).message))
      setStoring(false)
    }
  }
  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return
    const reason = /^[1-9]$/.test(event.key) ? text.deferrals.reasons[Number(event.key) - 1] : undefined
    if (reason === undefined) return
    event.preventDefault()
    void choose(reason)
  }
  return (
    <dialog ref={dialog} onClose={onClose} onKeyDown={onKeyDown} aria-label={text.deferrals.heading}>
      <h2>{text.deferrals.heading}</h2>
      <p className="quiet">{text.deferrals.note}</p>
      <ul className="reasons">
        {text.deferrals.reasons.map((reason, index) => (
          <li key={reason}>
            <button type="button" disabled={isStoring} onClick={() => void choose(reason)}>
              {reason} <kbd>{index + 1}</kbd>
            </button>
          </li>
        ))}
      </ul>
      <form
        className="own-reason"
        onSubmit={(event) => {
          event.preventDefault()
          void choose(own)
        }}
      >
        <label>
          {text.deferrals.own}{' '}
          <input value={own} maxLength={REASON_MAX} onChange={(event) => setOwn(event.target.value)} />
        </label>{' '}
        <button type="submit" disabled={isStoring || own.trim() === ''}>
          {text.deferrals.put}
        </button>{' '}
        <button type="button" onClick={() => dialog.current?.close()}>
          {text.deferrals.cancel}
        </button>
      </form>
      {isStoring && <p role="status">{text.deferrals.storing}</p>}
      {failure && <p role="alert">{failure}</p>}
    </dialog>
  )
}
