/** Weights of a product with their figures, reasons and lineage. */

import type { Weights } from '../api/weights'
import { text } from '../text'
import { figure, moment, short } from './moments'

const SERVING = '_serving'
const texts = text.weights.releases

interface Props {
  readonly weights: readonly Weights[]
  /** Null: the person may look, and not command. */
  readonly onReturn: ((weights: string) => void) | null
}

export function Releases({ weights, onReturn }: Props) {
  return (
    <section>
      <h2 id="releases">{texts.heading}</h2>
      <div className="wide">
        <table aria-labelledby="releases">
          <thead>
            <tr>
              {texts.columns.map((name) => (
                <th key={name} scope="col">
                  {name || <span className="hidden">{text.weights.actions.return}</span>}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {weights.map((one) => (
              <Row key={one.weights} weights={one} onReturn={onReturn && (() => onReturn(one.weights))} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  )
}

function Row({ weights, onReturn }: { weights: Weights; onReturn: (() => void) | null }) {
  const { decision, lineage } = weights
  const isRefused = decision !== null && !decision.accepted
  return (
    <tr data-weights={weights.weights} data-state={weights.state}>
      <th scope="row">
        <code title={weights.weights}>{short(weights.weights)}</code>
      </th>
      <td>
        {text.weights.kinds[weights.kind]}
        <div className="quiet">{weights.method}</div>
      </td>
      <td className={weights.state === 'judges' ? 'pass' : ''}>
        {text.weights.states[weights.state] ?? weights.state}
        {weights.threshold !== null && <div className="quiet">{texts.threshold(weights.threshold)}</div>}
      </td>
      <td>{weights.since_at ? moment(weights.since_at) : texts.unknown}</td>
      <td>
        <Figures figures={decision?.figures ?? {}} />
      </td>
      <td className="why">
        <span className={isRefused ? 'reject' : ''}>{decision?.text ?? texts.unknown}</span>
        <details>
          <summary>{texts.lineage}</summary>
          <ul>
            {lineage.training_set && (
              <li title={lineage.training_set}>{texts.trainingSet(short(lineage.training_set))}</li>
            )}
            {lineage.captures > 0 && <li>{texts.captures(lineage.captures)}</li>}
            {lineage.normals > 0 && <li>{texts.normals(lineage.normals)}</li>}
            <li>{texts.answers(lineage.answers)}</li>
            {lineage.teachers.length > 0 && <li>{texts.teachers(lineage.teachers.map(short).join(', '))}</li>}
            {decision && <li>{texts.origin(decision.origin)}</li>}
          </ul>
        </details>
      </td>
      <td>
        {weights.may_return && onReturn && (
          <button
            type="button"
            onClick={onReturn}
            aria-label={`${text.weights.actions.return}: ${short(weights.weights)}`}
          >
            {text.weights.actions.return}
          </button>
        )}
      </td>
    </tr>
  )
}

/** Each figure with that of the weights which served then. */
function Figures({ figures }: { figures: Readonly<Record<string, number>> }) {
  const own = Object.entries(figures).filter(([name]) => name in text.weights.figures)
  if (own.length === 0) return <span className="quiet">{texts.unknown}</span>
  return (
    <dl>
      {own.map(([name, value]) => {
        const before = figures[name + SERVING]
        return (
          <div key={name}>
            <dt>{text.weights.figures[name]}</dt>
            <dd>
              {figure(name, value)}
              {before !== undefined && (
                <span className="quiet"> {text.weights.before(figure(name, before))}</span>
              )}
            </dd>
          </div>
        )
      })}
    </dl>
  )
}
