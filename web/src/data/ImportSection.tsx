/** An archive that is checked, and stored once the person has seen what it would do. */

import { useQueryClient } from '@tanstack/react-query'
import { type DragEvent, useState } from 'react'
import { type ImportReport, importArchive } from '../api/data'
import { text } from '../text'

const FACTS = ['images', 'normals', 'new_images', 'answers', 'unchanged', 'kept', 'unanswered'] as const

type Step =
  | { readonly at: 'empty'; readonly failure?: string }
  | { readonly at: 'checking' | 'storing'; readonly archive: File }
  | { readonly at: 'checked' | 'stored'; readonly archive: File; readonly report: ImportReport }

export function ImportSection({ line, mayImport }: { line: string; mayImport: boolean }) {
  const [step, setStep] = useState<Step>({ at: 'empty' })
  const client = useQueryClient()
  const run = async (archive: File, check: boolean) => {
    setStep({ at: check ? 'checking' : 'storing', archive })
    try {
      const report = await importArchive(line, archive, check)
      setStep({ at: check ? 'checked' : 'stored', archive, report })
      if (!check) void client.invalidateQueries()
    } catch (error) {
      setStep({ at: 'empty', failure: error instanceof Error ? error.message : String(error) })
    }
  }
  const onDrop = (event: DragEvent) => {
    event.preventDefault()
    const archive = event.dataTransfer.files[0]
    if (archive) void run(archive, true)
  }
  const isBusy = step.at === 'checking' || step.at === 'storing'
  const report = step.at === 'checked' || step.at === 'stored' ? step.report : null
  return (
    <section aria-labelledby="import">
      <h2 id="import">{text.data.import}</h2>
      {mayImport ? (
        <>
          <p className="quiet">{text.data.how}</p>
          <label className="drop" onDragOver={(event) => event.preventDefault()} onDrop={onDrop}>
            <span>{step.at === 'empty' ? text.data.choose : step.archive.name}</span>
            <input
              type="file"
              accept=".zip,application/zip"
              disabled={isBusy}
              onChange={(event) => {
                const archive = event.target.files?.[0]
                event.target.value = '' // the same file may be chosen again, once it is corrected
                if (archive) void run(archive, true)
              }}
            />
          </label>
        </>
      ) : (
        <p className="quiet">{text.data.noRight}</p>
      )}
      <div role="status">
        {isBusy && <p>{step.at === 'checking' ? text.data.checking : text.data.storing}</p>}
        {report && <Facts report={report} isStored={step.at === 'stored'} />}
      </div>
      {step.at === 'empty' && step.failure && <p role="alert">{step.failure}</p>}
      {step.at === 'checked' && step.report.problem_count === 0 && (
        <p>
          {step.report.new_images + step.report.answers === 0 ? (
            text.data.nothingNew
          ) : (
            <button type="button" className="main" onClick={() => void run(step.archive, false)}>
              {text.data.store(step.report.new_images, step.report.answers)}
            </button>
          )}
        </p>
      )}
    </section>
  )
}

function Facts({ report, isStored }: { report: ImportReport; isStored: boolean }) {
  const { problem_count: count, problems, warnings } = report
  return (
    <>
      <dl className="facts">
        {FACTS.filter((name) => report[name] > 0).map((name) => (
          <div key={name}>
            <dd>{report[name].toLocaleString('en')}</dd> <dt>{text.data.facts[name]}</dt>
          </div>
        ))}
      </dl>
      {count > 0 && (
        <p className="bad">
          {isStored && !report.is_check ? text.data.partly(count) : text.data.problems(count)}
        </p>
      )}
      {isStored && count === 0 && <p className="good">{text.data.stored}</p>}
      <ul className="problems">
        {warnings.map((one) => (
          <li key={one}>{one}</li>
        ))}
        {problems.map((one) => (
          <li key={one.file + one.detail}>
            <strong>{one.file}</strong> {one.detail}
          </li>
        ))}
      </ul>
    </>
  )
}
