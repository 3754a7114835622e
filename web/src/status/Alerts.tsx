/** Alerts of SIAD: what fires, what it does to the shift, and what to do. */

import type { Alert } from '../api/status'
import { reviewAt } from '../app/address'
import { text } from '../text'
import { moment } from '../weights/moments'
import { Runbook } from './Runbook'

const texts = text.status

export function Alerts({ alerts }: { alerts: readonly Alert[] }) {
  if (!alerts.some(({ is_firing }) => is_firing) && alerts.length === 0) {
    return <p className="pass">{texts.calm}</p>
  }
  return (
    <ul className="alerts" aria-label={texts.alerts}>
      {alerts.map((alert) => (
        <li
          key={`${alert.name} ${JSON.stringify(alert.labels)}`}
          data-severity={alert.is_firing ? alert.severity : 'pending'}
          data-alert={alert.name}
        >
          <p>
            <strong>
              {alert.is_firing ? (texts.severities[alert.severity] ?? alert.severity) : texts.pending}
            </strong>
            {': '}
            {alert.summary}
          </p>
          <p>{alert.impact}</p>
          <p className="quiet">
            <code>{alert.name}</code> {texts.since(moment(alert.since_at))}
            {alert.labels.line && (
              <>
                {', '}
                <a href={reviewAt(alert.labels.line)}>{alert.labels.line}</a>
              </>
            )}
          </p>
          <Runbook alert={alert.name} />
        </li>
      ))}
    </ul>
  )
}
