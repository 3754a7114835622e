/** Alerts, dashboards and runbooks, as the console has them from a Prometheus. */

import { json } from './client'

export interface Alert {
  readonly name: string
  /** False: its condition holds, and not for long enough yet. */
  readonly is_firing: boolean
  readonly severity: string
  readonly since_at: string
  readonly summary: string
  readonly impact: string
  readonly labels: Readonly<Record<string, string>>
}

export interface BoardListing {
  readonly name: string
  readonly title: string
  readonly is_by_line: boolean
}

export interface Status {
  readonly has_prometheus: boolean
  /** Why there are no alerts; empty where Prometheus answered. */
  readonly problem: string
  readonly alerts: readonly Alert[]
  readonly boards: readonly BoardListing[]
  /** What the console waits for, by its check. */
  readonly failures: Readonly<Record<string, string>>
}

export type Unit = 's' | 'percentunit' | 'short' | 'ops' | 'bytes'

export interface Series {
  readonly name: string
  readonly times_s: readonly number[]
  readonly values: readonly number[]
}

export interface Panel {
  readonly title: string
  readonly text: string
  readonly unit: Unit
  readonly kind: 'timeseries' | 'stat'
  readonly empty_until: string
  readonly series: readonly Series[]
  readonly problem: string
}

export interface Board {
  readonly title: string
  readonly panels: readonly Panel[]
}

export async function readStatus(signal: AbortSignal): Promise<Status> {
  return json('/v1/status', { signal })
}

/** Read a dashboard; of one line where it is named, else of every line. */
export async function readBoard(
  board: string,
  line: string,
  minutes: number,
  signal: AbortSignal,
): Promise<Board> {
  const place = line ? `/v1/lines/${line}/status` : '/v1/status'
  return json(`${place}/boards/${board}?minutes=${minutes}`, { signal })
}

/** The page of an alert, as Markdown. */
export async function readRunbook(alert: string, signal: AbortSignal): Promise<string> {
  return (await json<{ text: string }>(`/v1/runbooks/${alert}`, { signal })).text
}
