/** Parts of every page: loading, failure, the list of keys. */

import { type ReactNode, useEffect, useRef } from 'react'
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

export function KeySheet({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    dialog.current?.showModal()
  }, [])
  return (
    <dialog ref={dialog} onClose={onClose} aria-label={text.actions.keys}>
      <h2>{text.actions.keys}</h2>
      <table>
        <tbody>
          {text.keys.map(([key, what]) => (
            <tr key={key}>
              <th scope="row">
                <kbd>{key}</kbd>
              </th>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <form method="dialog">
        <button type="submit">{text.actions.close}</button>
      </form>
    </dialog>
  )
}
