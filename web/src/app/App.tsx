/** The page: sign-in, the list of lines, and the review and the queue of one. */

import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useCallback, useEffect, useRef, useState } from 'react'
import { ApiError, onSignedOut, readSession, type Session, signIn } from '../api/client'
import { DataPage } from '../data/DataPage'
import { LinesPage } from '../lines/LinesPage'
import { SettingsPage } from '../lines/SettingsPage'
import { QueuePage } from '../queue/QueuePage'
import { ReviewPage } from '../review/ReviewPage'
import { text } from '../text'
import { WeightsPage } from '../weights/WeightsPage'
import { Account } from './Account'
import { dataAt, decoded, placeOf, queueAt, reviewAt, settingsAt, weightsAt } from './address'
import { Failure, Loading } from './parts'
import { SignInAgain, SignInPage } from './SignIn'

const SIGN_IN = '#sign-in='
const FAILED = '#sign-in-failed='

/** The token of a sign-in link, once; it leaves the address at once. */
function takeToken(): string | null {
  if (!location.hash.startsWith(SIGN_IN)) return null
  const token = location.hash.slice(SIGN_IN.length)
  history.replaceState(null, '', '/')
  return token
}

/** Why sign-in at the identity provider failed, once. */
function takeFailure(): string {
  if (!location.hash.startsWith(FAILED)) return ''
  const reason = location.hash.slice(FAILED.length)
  history.replaceState(null, '', '/')
  return decoded(reason)
}

const token = takeToken()
const failure = takeFailure()
let signingIn: Promise<Session | null> | null = null

async function openSession(): Promise<Session | null> {
  if (token === null) return readSession()
  signingIn ??= signIn({ token })
  try {
    return await signingIn
  } catch (error) {
    // a used link in a browser that is signed in already does no harm
    const session = await readSession()
    if (session) return session
    throw error
  }
}

export function App() {
  const session = useQuery({
    queryKey: ['session'],
    queryFn: openSession,
    staleTime: Number.POSITIVE_INFINITY,
  })
  const client = useQueryClient()
  const place = usePlace()
  const line = place.page === 'lines' ? null : place.line
  const last = useRef<Session | null>(null)
  useEffect(() => onSignedOut(() => client.setQueryData(['session'], null)), [client])
  useEffect(() => {
    if (session.data) last.current = session.data
  }, [session.data])
  const onSignedIn = useCallback(
    (opened: Session) => {
      client.setQueryData(['session'], opened)
      // what failed without a session is read again; a drawing is left as it is
      void client.invalidateQueries({ predicate: (query) => query.state.status === 'error' })
    },
    [client],
  )
  if (session.isPending) return <Loading />
  if (session.isError) {
    const isLink = session.error instanceof ApiError && session.error.status === 401
    return isLink ? (
      <SignInPage reason={session.error.message} onSignedIn={onSignedIn} />
    ) : (
      <Failure error={session.error} onRetry={() => void session.refetch()} />
    )
  }
  const shown = session.data ?? last.current
  if (!shown) return <SignInPage reason={failure} onSignedIn={onSignedIn} />
  return (
    <div className="page">
      <nav>
        <a href="#/">
          <strong>SIAD</strong> {line && text.review.lines}
        </a>
        {line && (
          <>
            <h1>{line}</h1>
            <PageLink href={reviewAt(line)} label={text.lines.open} isHere={place.page === 'review'} />
            <PageLink href={queueAt(line)} label={text.queue.open} isHere={place.page === 'queue'} />
            <PageLink href={weightsAt(line)} label={text.weights.open} isHere={place.page === 'weights'} />
            <PageLink href={dataAt(line)} label={text.data.open} isHere={place.page === 'data'} />
            <PageLink
              href={settingsAt(line)}
              label={text.lines.settings.open}
              isHere={place.page === 'settings'}
            />
          </>
        )}
        <span className="gap" />
        <Account session={shown} />
      </nav>
      {place.page === 'lines' && <LinesPage session={shown} />}
      {place.page === 'settings' && <SettingsPage key={line} line={place.line} session={shown} />}
      {place.page === 'review' && <ReviewPage key={line} line={place.line} session={shown} />}
      {place.page === 'weights' && <WeightsPage key={line} line={place.line} session={shown} />}
      {place.page === 'data' && <DataPage key={line} line={place.line} session={shown} />}
      {place.page === 'queue' && (
        <QueuePage key={line} line={place.line} search={place.search} session={shown} />
      )}
      {!session.data && <SignInAgain person={shown.person} onSignedIn={onSignedIn} />}
    </div>
  )
}

function usePlace() {
  const [hash, setHash] = useState(location.hash)
  useEffect(() => {
    const ending = new AbortController()
    window.addEventListener('hashchange', () => setHash(location.hash), { signal: ending.signal })
    return () => ending.abort()
  }, [])
  return placeOf(hash)
}

function PageLink({ href, label, isHere }: { href: string; label: string; isHere: boolean }) {
  return (
    <a href={href} aria-current={isHere ? 'page' : undefined}>
      {label}
    </a>
  )
}
