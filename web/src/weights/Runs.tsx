/** Training runs of a product, the open one with its progress. */

import type { Run } from '../api/weights'
import { text } from '../text'
import { moment, short } from './moments'

const texts = text.weights.runs
const SHOWN = 10

export function Runs({ runs }: { runs: readonly Run[] }) {
  return (
    <section>
      <h2 id="runs">{texts.heading}</h2>
      {runs.length === 0 && <p className="quiet">{texts.none}</p>}
      {runs.length > 0 && (
        <div className="wide">
          <table aria-labelledby="runs">
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
              {runs.slice(0, SHOWN).map((run) => (
                <tr key={run.run} data-outcome={run.outcome}>
                  <th scope="row">{Number(run.run.split('.').at(-1))}</th>
                  <td className={run.outcome === 'refused' || run.outcome === 'failed' ? 'reject' : ''}>
                    {run.outcome === 'open' ? texts.open(run.progress, run.starts) : run.outcome}
                  </td>
                  <td>{moment(run.frozen_at)}</td>
                  <td>{run.weights && <code title={run.weights}>{short(run.weights)}</code>}</td>
                  <td className="why">{run.reason}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  )
}
