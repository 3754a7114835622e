/** The page: sign-in, the list of lines, and the review and the queue of one. */

import { useQuery, useQueryClient } from '@tanstack/react-query'
import { lazy, Suspense, useCallback, useEffect, useRef, useState } from 'react'
import { ApiError, onSignedOut, readSession, type Session, signIn } from '../api/client'
import { DataPage } from '../data/DataPage'
import { LinesPage } from '../lines/LinesPage'
import { SettingsPage } from '../lines/SettingsPage'
import { QueuePage } from '../queue/QueuePage'
import { ReviewPage } from '../review/ReviewPage'
import { text } from '../text'
import { WeightsPage } from '../weights/WeightsPage'
import { Account } from './Account'
import {
  dataAt,
  decoded,
  type Place,
  placeOf,
  queueAt,
  reviewAt,
  settingsAt,
  statusAt,
  weightsAt,
} from './address'
import { NoSuchPage } from './NoSuchPage'
import { Failure, Loading } from './parts'
import { SignInAgain, SignInPage } from './SignIn'

const StatusPage = lazy(() => import('../status/StatusPage'))

const SIGN_IN = '#sign-in='
const FAILED = '#sign-in-failed='

// people type it without the #
if (location.pathname === '/status') history.replaceState(null, '', `/${statusAt(location.search.slice(1))}`)

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
  const line = 'line' in place ? place.line : null
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
  if (location.pathname !== '/') return <NoSuchPage address={location.pathname} />
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
          <strong>SIAD</strong> {place.page !== 'lines' && text.review.lines}
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
        <PageLink href={statusAt()} label={text.status.open} isHere={place.page === 'status'} />
        <Account session={shown} />
      </nav>
      <Suspense fallback={<Loading />}>
        <Page place={place} session={shown} />
      </Suspense>
      {!session.data && <SignInAgain person={shown.person} onSignedIn={onSignedIn} />}
    </div>
  )
}

function Page({ place, session }: { place: Place; session: Session }) {
  switch (place.page) {
    case 'lines':
      return <LinesPage session={session} />
    case 'status':
      return <StatusPage search={place.search} session={session} />
    case 'settings':
      return <SettingsPage key={place.line} line={place.line} session={session} />
    case 'review':
      return <ReviewPage key={place.line} line={place.line} session={session} />
    case 'weights':
      return <WeightsPage key={place.line} line={place.line} session={session} />
    case 'data':
      return <DataPage key={place.line} line={place.line} session={session} />
    case 'queue':
      return <QueuePage key={place.line} line={place.line} search={place.search} session={session} />
    case 'none':
      return <NoSuchPage address={location.hash} />
  }
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
