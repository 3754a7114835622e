/** What the console knows without a Prometheus: its own checks, and the lines. */

import { useQuery } from '@tanstack/react-query'
import { readOverview } from '../api/lines'
import type { Status } from '../api/status'
import { reviewAt } from '../app/address'
import { Failure } from '../app/parts'
import { text } from '../text'
import { moment } from '../weights/moments'

const texts = text.status
const READ_MS = 5_000

export function OwnChecks({ failures }: { failures: Status['failures'] }) {
  const found = Object.entries(failures)
  if (found.length === 0) return <p className="pass">{texts.ready}</p>
  return (
    <div role="alert">
      <p>{texts.waits}</p>
      <ul>
        {found.map(([check, reason]) => (
          <li key={check}>
            <strong>{check}</strong>: {reason}
          </li>
        ))}
      </ul>
    </div>
  )
}

export function OwnLines() {
  const list = useQuery({
    queryKey: ['overview'],
    queryFn: ({ signal }) => readOverview(signal),
    refetchInterval: READ_MS,
  })
  if (list.isError && !list.data) return <Failure error={list.error} onRetry={() => void list.refetch()} />
  const lines = list.data?.lines ?? []
  if (list.data && lines.length === 0) return <p className="quiet">{texts.noLines}</p>
  return (
    <table aria-label={texts.lines}>
      <thead>
        <tr>
          {texts.columns.map((name) => (
            <th key={name} scope="col">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {lines.map((one) => (
          <tr key={one.line}>
            <th scope="row">
              <a href={reviewAt(one.line)}>{one.line}</a>
            </th>
            <td>{one.judges_kind ?? texts.nothing}</td>
            <td>{one.passed}</td>
            <td>{one.rejected}</td>
            <td>{one.unknown}</td>
            <td>{one.last_at ? moment(one.last_at) : ''}</td>
            <td className={one.paused ? 'reject' : ''}>{one.unreadable || one.paused || texts.learns}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
