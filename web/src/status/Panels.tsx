/** Panels of a dashboard: numbers first, then graphs. */

import type { Panel } from '../api/status'
import { text } from '../text'
import { Graph } from './Graph'
import { valueText } from './values'

const texts = text.status

export function Panels({ panels, minutes }: { panels: readonly Panel[]; minutes: number }) {
  const numbers = panels.filter(({ kind }) => kind === 'stat')
  const graphs = panels.filter(({ kind }) => kind !== 'stat')
  return (
    <>
      {numbers.length > 0 && (
        <ul className="panels numbers">
          {numbers.map((panel) => (
            <PanelView key={panel.title} panel={panel}>
              <Numbers panel={panel} />
            </PanelView>
          ))}
        </ul>
      )}
      <ul className="panels graphs">
        {graphs.map((panel) => (
          <PanelView key={panel.title} panel={panel}>
            <Graph panel={panel} minutes={minutes} />
          </PanelView>
        ))}
      </ul>
    </>
  )
}

function PanelView({ panel, children }: { panel: Panel; children: React.ReactNode }) {
  return (
    <li data-panel={panel.title} data-series={panel.series.length}>
      <h3>{panel.title}</h3>
      {panel.series.length > 0 ? children : <NoData panel={panel} />}
      <p className="quiet">{panel.text}</p>
    </li>
  )
}

function NoData({ panel }: { panel: Panel }) {
  if (panel.problem) return <p role="alert">{panel.problem}</p>
  return <p className="empty">{panel.empty_until ? texts.emptyUntil(panel.empty_until) : texts.noData}</p>
}

function Numbers({ panel }: { panel: Panel }) {
  const [first] = panel.series
  if (panel.series.length === 1 && first) {
    return <p className="number">{valueText(first.values.at(-1) ?? 0, panel.unit)}</p>
  }
  return (
    <dl className="several">
      {panel.series.map(({ name, values }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{valueText(values.at(-1) ?? 0, panel.unit)}</dd>
        </div>
      ))}
    </dl>
  )
}
