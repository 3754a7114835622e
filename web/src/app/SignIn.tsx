/** Sign-in by name and password, and by the link of siad sign-in. */

import { useQuery } from '@tanstack/react-query'
import { type FormEvent, useEffect, useId, useState } from 'react'
import { ApiError, providerAt, readSession, readWays, type Session, signIn, type Ways } from '../api/client'
import { text } from '../text'

/** The whole page of a browser without a session. */
export function SignInPage({
  reason,
  onSignedIn,
}: {
  reason: string
  onSignedIn: (session: Session) => void
}) {
  const ways = useWays()
  return (
    <main className="centred">
      <h1>{text.signIn.heading}</h1>
      {reason && <p role="alert">{reason}</p>}
      <ProviderLink ways={ways} target="_self" />
      <SignInForm person="" onSignedIn={onSignedIn} />
      {ways?.has_links && (
        <>
          <p>{text.signIn.how}</p>
          <pre>{text.signIn.command}</pre>
        </>
      )}
      <p className="quiet">{text.signIn.kept}</p>
    </main>
  )
}

/** Over a page whose session has ended: what is drawn on it stays. */
export function SignInAgain({
  person,
  onSignedIn,
}: {
  person: string
  onSignedIn: (session: Session) => void
}) {
  const ways = useWays()
  const heading = useId()
  useEffect(() => {
    // another tab may have signed in meanwhile
    const look = () => {
      readSession().then(
        (session) => session && onSignedIn(session),
        () => undefined,
      )
    }
    window.addEventListener('focus', look)
    return () => window.removeEventListener('focus', look)
  }, [onSignedIn])
  return (
    <dialog
      className="sheet"
      aria-labelledby={heading}
      ref={openModal}
      onCancel={(event) => event.preventDefault()}
    >
      <h2 id={heading}>{text.signIn.ended}</h2>
      <p>{text.signIn.endedHow}</p>
      <ProviderLink ways={ways} target="_blank" />
      <SignInForm person={person} onSignedIn={onSignedIn} />
      {ways?.has_links && (
        <>
          <p className="quiet">{text.signIn.orLink}</p>
          <pre>{text.signIn.command}</pre>
        </>
      )}
    </dialog>
  )
}

function useWays(): Ways | undefined {
  return useQuery({ queryKey: ['ways'], queryFn: readWays }).data
}

/** Over a drawing it opens in another tab, and this one notices. */
function ProviderLink({ ways, target }: { ways: Ways | undefined; target: '_self' | '_blank' }) {
  if (!ways?.provider) return null
  return (
    <p>
      <a className="button" href={providerAt} target={target}>
        {text.signIn.provider(ways.provider)}
      </a>
    </p>
  )
}

function openModal(dialog: HTMLDialogElement | null): void {
  if (dialog && !dialog.open) dialog.showModal()
}

function SignInForm({ person, onSignedIn }: { person: string; onSignedIn: (session: Session) => void }) {
  const [name, setName] = useState(person)
  const [password, setPassword] = useState('')
  const [isSending, setSending] = useState(false)
  const [refusal, setRefusal] = useState('')
  const send = async (event: FormEvent) => {
    event.preventDefault()
    setSending(true)
    setRefusal('')
    try {
      onSignedIn(await signIn({ name: name.trim(), password }))
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      setRefusal(error.message)
      setPassword('')
    } finally {
      setSending(false)
    }
  }
  return (
    <form className="sign-in" onSubmit={(event) => void send(event)}>
      <label>
        {text.signIn.name}
        <input
          required
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
      </label>
      <label>
        {text.signIn.password}
        <input
          required
          type="password"
          autoComplete="current-password"
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
      </label>
      <button type="submit" className="main" disabled={isSending}>
        {isSending ? text.signIn.working : text.signIn.heading}
      </button>
      <p role="alert">{refusal}</p>
    </form>
  )
}
