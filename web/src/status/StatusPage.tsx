/** The state of the system: alerts with what to do, and the dashboards. */

import { useQuery } from '@tanstack/react-query'
import { readLines, type Session } from '../api/client'
import { readBoard, readStatus, type Status } from '../api/status'
import { statusAt } from '../app/address'
import { Failure, Loading } from '../app/parts'
import { text } from '../text'
import { Alerts } from './Alerts'
import { OwnChecks, OwnLines } from './OwnView'
import { Panels } from './Panels'
import { type Shown, searchOf, shownOf } from './shown'
import './status.css'

const READ_MS = 15_000
const texts = text.status

interface Props {
  readonly search: string
  readonly session: Session
}

export default function StatusPage({ search, session }: Props) {
  const status = useQuery({
    queryKey: ['status'],
    queryFn: ({ signal }) => readStatus(signal),
    refetchInterval: READ_MS,
  })
  if (status.isPending) return <Loading />
  if (!status.data) return <Failure error={status.error as Error} onRetry={() => void status.refetch()} />
  const { has_prometheus, problem, alerts, failures } = status.data
  return (
    <main className="status-page">
      <h1>{texts.heading}</h1>
      {status.isError && <p role="alert">{texts.stale}</p>}
      <OwnChecks failures={failures} />
      {problem && (
        <p role="alert">
          {texts.problem} {problem}
        </p>
      )}
      {has_prometheus && !problem && (
        <>
          <h2>{texts.alerts}</h2>
          <Alerts alerts={alerts} />
        </>
      )}
      {has_prometheus ? (
        <Boards status={status.data} shown={shownOf(search)} seesAll={'*' in session.roles} />
      ) : (
        <section>
          <p>{texts.noPrometheus}</p>
          <p>{texts.howTo}</p>
          <pre>{texts.setting}</pre>
          <h2>{texts.known}</h2>
          <OwnLines />
        </section>
      )}
    </main>
  )
}

interface BoardsProps {
  readonly status: Status
  readonly shown: Shown
  /** Whether the person may view every line. */
  readonly seesAll: boolean
}

function Boards({ status, shown, seesAll }: BoardsProps) {
  const lines = useQuery({ queryKey: ['lines'], queryFn: readLines })
  const names = (lines.data ?? []).map(({ line }) => line)
  const boards = status.boards.filter(({ is_by_line }) => is_by_line || (seesAll && shown.line === ''))
  const line = shown.line || (seesAll ? '' : (names[0] ?? ''))
  const name = boards.some((one) => one.name === shown.board) ? shown.board : (boards[0]?.name ?? '')
  const isKnown = name !== '' && (seesAll || line !== '')
  const board = useQuery({
    queryKey: ['board', name, line, shown.minutes],
    queryFn: ({ signal }) => readBoard(name, line, shown.minutes, signal),
    refetchInterval: READ_MS,
    enabled: isKnown,
    placeholderData: (before, query) => (query?.queryKey[1] === name ? before : undefined),
  })
  const show = (change: Partial<Shown>) => {
    location.hash = statusAt(searchOf({ ...shown, ...change }))
  }
  return (
    <section className="boards" aria-label={texts.boards}>
      <h2>{texts.boards}</h2>
      <div className="choice">
        <nav aria-label={texts.boards}>
          {boards.map((one) => (
            <a
              key={one.name}
              href={statusAt(searchOf({ ...shown, board: one.name }))}
              aria-current={one.name === name ? 'page' : undefined}
            >
              {one.title.replace('SIAD ', '')}
            </a>
          ))}
        </nav>
        <label>
          {texts.line}{' '}
          <select value={line} onChange={(event) => show({ line: event.target.value })}>
            {seesAll && <option value="">{texts.everyLine}</option>}
            {[...new Set([...names, ...(line ? [line] : [])])].map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
        <label>
          {texts.back}{' '}
          <select value={shown.minutes} onChange={(event) => show({ minutes: Number(event.target.value) })}>
            {texts.spans.map(([minutes, label]) => (
              <option key={minutes} value={minutes}>
                {label}
              </option>
            ))}
          </select>
        </label>
      </div>
      {board.isError && <p role="alert">{board.error.message}</p>}
      {board.data ? (
        <Panels panels={board.data.panels} minutes={shown.minutes} />
      ) : (
        isKnown && !board.isError && <p className="quiet">{text.loading}</p>
      )}
    </section>
  )
}
