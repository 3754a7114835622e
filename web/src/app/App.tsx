/** The page: sign-in, the list of lines, and the review of one. */

import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { ApiError, readLines, readSession, type Session, signIn, signOut } from '../api/client'
import { ReviewPage } from '../review/ReviewPage'
import { text } from '../text'
import { Failure, Loading } from './parts'

const SIGN_IN = '#sign-in='
const LINE = '#/lines/'

/** The token of a sign-in link, once; it leaves the address at once. */
function takeToken(): string | null {
  if (!location.hash.startsWith(SIGN_IN)) return null
  const token = location.hash.slice(SIGN_IN.length)
  history.replaceState(null, '', '/')
  return token
}

const token = takeToken()
let signingIn: Promise<Session | null> | null = null

async function openSession(): Promise<Session | null> {
  if (token === null) return readSession()
  signingIn ??= signIn(token)
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
  const line = useLine()
  if (session.isPending) return <Loading />
  if (session.isError) {
    const isLink = session.error instanceof ApiError && session.error.status === 401
    return isLink ? (
      <SignIn reason={session.error.message} />
    ) : (
      <Failure error={session.error} onRetry={() => void session.refetch()} />
    )
  }
  if (!session.data) return <SignIn reason="" />
  return (
    <div className="page">
      <nav>
        <a href="#/">
          <strong>SIAD</strong> {line && text.review.lines}
        </a>
        {line && <h1>{line}</h1>}
        <span className="gap" />
        <span className="quiet">{session.data.person}</span>
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
      </nav>
      {line ? <ReviewPage key={line} line={line} session={session.data} /> : <Lines />}
    </div>
  )
}

function lineOfAddress(): string | null {
  return location.hash.startsWith(LINE) ? decodeURIComponent(location.hash.slice(LINE.length)) : null
}

function useLine(): string | null {
  const [line, setLine] = useState(lineOfAddress)
  useEffect(() => {
    const ending = new AbortController()
    window.addEventListener('hashchange', () => setLine(lineOfAddress()), { signal: ending.signal })
    return () => ending.abort()
  }, [])
  return line
}

function SignIn({ reason }: { reason: string }) {
  return (
    <main className="centred">
      <h1>{text.signIn.heading}</h1>
      {reason && <p role="alert">{reason}</p>}
      <p>{text.signIn.how}</p>
      <pre>{text.signIn.command}</pre>
      <p className="quiet">{text.signIn.kept}</p>
    </main>
  )
}

function Lines() {
  const lines = useQuery({ queryKey: ['lines'], queryFn: readLines })
  if (lines.isPending) return <Loading />
  if (lines.isError) return <Failure error={lines.error} onRetry={() => void lines.refetch()} />
  return (
    <main className="centred">
      <h1>{text.lines.heading}</h1>
      {lines.data.length === 0 && (
        <>
          <p>{text.lines.none}</p>
          <pre>{text.lines.command}</pre>
        </>
      )}
      <ul className="lines">
        {lines.data.map(({ line, product }) => (
          <li key={line}>
            <a href={`${LINE}${line}`}>
              <strong>{line}</strong> <span className="quiet">{product}</span> {text.lines.open}
            </a>
          </li>
        ))}
      </ul>
    </main>
  )
}
