/** Moves the false-reject budget, and shows what it would change before it is saved. */

import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useEffect, useId, useState } from 'react'
import { type LineSettings, readPreview, type SettingsChange } from '../api/lines'
import { queueAt } from '../app/address'
import { text } from '../text'
import { budgetAt, positionOf } from './histogram'
import { ScoreHistogram } from './ScoreHistogram'

const texts = text.lines.settings.budget
const QUIET_MS = 200
const NAMED = 12
const STEPS = 100

interface Props {
  readonly settings: LineSettings
  /** Null: the person may look, and not change. */
  readonly onSave: ((change: SettingsChange) => void) | null
}

export function BudgetForm({ settings, onSave }: Props) {
  const { line, product } = settings
  const [step, setStep] = useState<number | null>(null) // of the slider; null: not moved
  const budget = step === null ? settings.false_reject_budget : budgetAt(step / STEPS)
  const slider = useId()
  const settled = useSettled(budget)
  const preview = useQuery({
    queryKey: ['preview', line, product, settled],
    queryFn: ({ signal }) => readPreview(line, product, settled, signal),
    placeholderData: keepPreviousData,
  })
  const found = preview.data
  return (
    <section>
      <h2>{texts.heading}</h2>
      {settings.budget_tightens && <p className="quiet">{texts.tightens}</p>}
      {(settings.miss_cost ?? 0) > 0 && <p className="quiet">{texts.cost}</p>}
      <form
        className="budget"
        onSubmit={(event) => {
          event.preventDefault()
          onSave?.({ false_reject_budget: budget })
        }}
      >
        <p>
          {/* a label would be that of the output, the first that can have one */}
          <label htmlFor={slider}>{texts.label}</label>:{' '}
          <output htmlFor={slider}>{texts.value(budget)}</output>
          <input
            id={slider}
            type="range"
            min={0}
            max={STEPS}
            value={step ?? Math.round(positionOf(budget) * STEPS)}
            aria-valuetext={texts.value(budget)}
            onChange={(event) => setStep(Number(event.target.value))}
          />
        </p>
        {onSave && (
          <button type="submit" className="main" disabled={budget === settings.false_reject_budget}>
            {texts.save}
          </button>
        )}
      </form>
      {preview.isError && <p role="alert">{preview.error.message}</p>}
      {found && (
        <div
          aria-live="polite"
          data-threshold={found.threshold}
          data-stale={budget !== settled || preview.isFetching}
        >
          <p>
            <strong>{texts.threshold(found.threshold, found.in_use)}</strong>,{' '}
            {texts.rate(found.estimated, found.low, found.high)}. <span className="quiet">{texts.means}</span>
          </p>
          {found.scores.length > 0 && (
            <>
              <ScoreHistogram preview={found} />
              <p>{texts.changes(found.rejects, found.passes, found.scores.length)}</p>
            </>
          )}
          <ul className="changes">
            {found.changes.slice(0, NAMED).map((one) => (
              <li key={one.capture_id}>
                <a href={queueAt(line, `state=&capture=${one.capture_id}`)}>
                  {one.serial || one.capture_id.slice(0, 8)}
                </a>{' '}
                <span className={one.decision}>{texts.becomes[one.decision]}</span>{' '}
                <span className="quiet">{one.score.toPrecision(3)}</span>
              </li>
            ))}
          </ul>
        </div>
      )}
    </section>
  )
}

/** A value once it has rested for a moment. */
function useSettled(value: number): number {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), QUIET_MS)
    return () => clearTimeout(timer)
  }, [value])
  return settled
}
