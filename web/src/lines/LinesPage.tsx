/** Every line: its state, its newest verdicts, its false rejects; and a new line. */

import { useQuery } from '@tanstack/react-query'
import type { Session } from '../api/client'
import { readOverview } from '../api/lines'
import { Failure, Loading } from '../app/parts'
import { text } from '../text'
import { LineCard } from './LineCard'
import { NewLine } from './NewLine'
import './lines.css'

const READ_MS = 2_000

export function LinesPage({ session }: { session: Session }) {
  const list = useQuery({
    queryKey: ['overview'],
    queryFn: ({ signal }) => readOverview(signal),
    refetchInterval: READ_MS,
  })
  if (list.isPending) return <Loading />
  if (!list.data) return <Failure error={list.error as Error} onRetry={() => void list.refetch()} />
  const { lines, may_change } = list.data
  const mayRegister = may_change && ['engineer', 'admin'].includes(session.roles['*'] ?? '')
  return (
    <main className="overview">
      <h1>{text.lines.heading}</h1>
      {list.isError && <p role="alert">{text.lines.stale}</p>}
      {lines.length === 0 && (
        <>
          <p>{text.lines.none}</p>
          {!mayRegister && (
            <>
              <p>{text.lines.noneCommand}</p>
              <pre>{text.lines.command}</pre>
            </>
          )}
        </>
      )}
      <ul className="cards">
        {lines.map((line) => (
          <LineCard key={line.line} line={line} />
        ))}
      </ul>
      {mayRegister && <NewLine known={lines.map(({ line }) => line)} onSent={() => void list.refetch()} />}
    </main>
  )
}
