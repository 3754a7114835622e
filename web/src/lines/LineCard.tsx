/** One line: what judges it, whether it learns, and what it decided last. */

import type { LineOverview, ListedVerdict } from '../api/lines'
import { dataAt, queueAt, reviewAt, settingsAt, weightsAt } from '../app/address'
import { text } from '../text'
import { moment } from '../weights/moments'

const texts = text.lines

export function LineCard({ line }: { line: LineOverview }) {
  const id = `line-${line.line}`
  const links = [
    [reviewAt(line.line), texts.open],
    [queueAt(line.line), text.queue.open],
    [weightsAt(line.line), text.weights.open],
    [dataAt(line.line), text.data.open],
    [settingsAt(line.line), texts.settings.open],
  ] as const
  return (
    <li data-line={line.line} data-judges={line.judges}>
      <p className="card-links">
        <span>
          <a id={id} href={reviewAt(line.line)}>
            <strong>{line.line}</strong>
          </a>{' '}
          <span className="quiet">{line.product}</span>
        </span>
        {links.map(([href, label]) => (
          <a key={href} href={href} aria-describedby={id}>
            {label}
          </a>
        ))}
      </p>
      <p>
        {stateOf(line)}
        {line.judges && (
          <>
            {', '}
            <span className={line.paused ? 'reject' : 'quiet'}>
              {line.paused ? texts.states.held : texts.states.learning}
            </span>
          </>
        )}
      </p>
      {line.paused && <p className="quiet">{line.paused}</p>}
      <Verdicts line={line} />
      <Budget line={line} />
    </li>
  )
}

function stateOf(line: LineOverview): string {
  if (line.unreadable) return texts.states.unreadable(line.unreadable)
  if (line.judges && line.judges_kind)
    return texts.states.judges(texts.kinds[line.judges_kind], line.since_at ? moment(line.since_at) : '')
  const normals = line.normals ?? 0
  return normals < line.normals_needed
    ? texts.states.waiting(normals, line.normals_needed)
    : texts.states.fitting(normals)
}

function Verdicts({ line }: { line: LineOverview }) {
  const judged = line.passed + line.rejected
  if (line.newest.length === 0) return <p className="quiet">{texts.noVerdict}</p>
  return (
    <>
      <p>
        {texts.counts(line.passed, line.rejected, line.unknown)}
        {judged > 0 && <>; {texts.rejected(line.rejected / judged)}</>}
      </p>
      <ol className="newest" aria-label={texts.newest}>
        {line.newest.map((one) => (
          <li key={one.capture_id}>
            <Verdict line={line.line} verdict={one} />
          </li>
        ))}
      </ol>
    </>
  )
}

function Verdict({ line, verdict }: { line: string; verdict: ListedVerdict }) {
  return (
    <>
      <span className={verdict.decision === 'unknown' ? 'quiet' : verdict.decision}>
        {texts.decisions[verdict.decision]}
      </span>{' '}
      <a href={queueAt(line, `state=&capture=${verdict.capture_id}`)}>
        {verdict.serial || verdict.capture_id.slice(0, 8)}
      </a>{' '}
      <span className="quiet">
        {verdict.score !== null &&
          verdict.threshold !== null &&
          `${texts.score(verdict.score, verdict.threshold)}, `}
        {moment(verdict.judged_at)}
      </span>
    </>
  )
}

function Budget({ line }: { line: LineOverview }) {
  const found = line.false_rejects
  if (!found) return <p className="quiet">{texts.budgetOnly(line.budget)}</p>
  return (
    <p>
      <meter aria-label={texts.used} min={0} max={2} high={1} optimum={0} value={Math.min(2, found.used)} />{' '}
      {texts.falseRejects(found.estimated, found.low, found.high, found.budget)}
    </p>
  )
}
