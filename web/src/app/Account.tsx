/** The person who is signed in: roles, open sessions, sign-out. */

import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useId, useRef, useState } from 'react'
import { endSession, readSessions, type Session, signOut } from '../api/client'
import { text } from '../text'
import { Failure } from './parts'

export function Account({ session }: { session: Session }) {
  const client = useQueryClient()
  const dialog = useRef<HTMLDialogElement>(null)
  const [isOpen, setOpen] = useState(false)
  return (
    <>
      <button
        type="button"
        title={text.account.show}
        onClick={() => {
          setOpen(true)
          dialog.current?.showModal()
        }}
      >
        {text.account.signedInAs(session.person)}
      </button>
      <button
        type="button"
        onClick={async () => {
          await signOut()
          client.clear()
          location.reload()
        }}
      >
        {text.signOut}
      </button>
      <dialog className="sheet" ref={dialog} aria-label={text.account.show} onClose={() => setOpen(false)}>
        {isOpen && <Details session={session} />}
        <button type="button" className="main" onClick={() => dialog.current?.close()}>
          {text.actions.close}
        </button>
      </dialog>
    </>
  )
}

function Details({ session }: { session: Session }) {
  const client = useQueryClient()
  const heading = useId()
  const sessions = useQuery({ queryKey: ['sessions'], queryFn: readSessions })
  const onEnd = async (id: string) => {
    await endSession(id)
    await client.refetchQueries({ queryKey: ['sessions'] })
  }
  return (
    <>
      <h2>{session.person}</h2>
      <ul>
        {Object.entries(session.roles).map(([line, role]) => (
          <li key={line}>{text.account.role(role, line)}</li>
        ))}
      </ul>
      <h3 id={heading}>{text.account.sessions}</h3>
      {sessions.isError && <Failure error={sessions.error} onRetry={() => void sessions.refetch()} />}
      <ul className="sessions" aria-labelledby={heading}>
        {(sessions.data ?? []).map((one) => (
          <li key={one.session_id}>
            <span>
              {one.is_this ? text.account.thisOne : browserOf(one.client)},{' '}
              {text.account.opened(new Date(one.opened_at).toLocaleString(), one.method)}
            </span>
            {!one.is_this && (
              <button type="button" onClick={() => void onEnd(one.session_id)}>
                {text.account.end}
              </button>
            )}
          </li>
        ))}
      </ul>
    </>
  )
}

/** Browser and system, from the long name that a browser gives itself. */
function browserOf(client: string): string {
  const browser = /(Firefox|Edg|OPR|Chrome|Safari)\//.exec(client)?.[1] ?? text.account.unknownBrowser
  const system = /\((?:X11; )?([^;)]+)/.exec(client)?.[1] ?? ''
  return `${browser.replace('Edg', 'Edge').replace('OPR', 'Opera')}${system && `, ${system}`}`
}
