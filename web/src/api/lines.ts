/** Lines: what each does now, its settings, and images of good parts. */

import { ApiError, json } from './client'

export interface ListedVerdict {
  readonly capture_id: string
  readonly serial: string
  readonly decision: 'pass' | 'reject' | 'unknown'
  readonly score: number | null
  readonly threshold: number | null
  readonly judged_at: string
}

export interface FalseRejects {
  readonly budget: number
  readonly estimated: number
  readonly low: number
  readonly high: number
  readonly used: number
}

export interface LineOverview {
  readonly line: string
  readonly product: string
  readonly budget: number
  readonly classes: readonly string[]
  readonly normals: number | null
  readonly normals_needed: number
  readonly judges: string
  readonly judges_kind: 'teacher' | 'segmenter' | null
  readonly since_at: string | null
  readonly paused: string
  readonly is_held: boolean
  readonly unreadable: string
  readonly passed: number
  readonly rejected: number
  readonly unknown: number
  readonly last_at: string | null
  readonly false_rejects: FalseRejects | null
  readonly newest: readonly ListedVerdict[]
}

export interface Overview {
  readonly lines: readonly LineOverview[]
  readonly may_change: boolean
}

export interface LineSettings {
  readonly line: string
  readonly revision: number
  readonly product: string
  readonly false_reject_budget: number
  readonly budget_tightens?: boolean
  readonly miss_cost?: number
  readonly classes?: readonly string[]
}

export interface Preview {
  readonly weights: string
  readonly in_use: number
  readonly threshold: number
  readonly estimated: number
  readonly low: number
  readonly high: number
  readonly reason: string
  readonly scores: readonly number[]
  readonly rejects: number
  readonly passes: number
  readonly changes: readonly {
    readonly capture_id: string
    readonly serial: string
    readonly score: number
    readonly decision: 'reject' | 'pass'
  }[]
}

/** Settings to change; those that are left out stay. */
export type SettingsChange = Partial<Pick<LineSettings, 'product' | 'false_reject_budget' | 'classes'>>

export async function readOverview(signal: AbortSignal): Promise<Overview> {
  return json('/v1/overview', { signal })
}

export async function readSettings(line: string, signal: AbortSignal): Promise<LineSettings> {
  return json(`/v1/lines/${line}/settings`, { signal })
}

/** Change the settings of one revision; 0 registers a new line. */
export async function putSettings(
  line: string,
  revision: number,
  change: SettingsChange,
): Promise<LineSettings> {
  return json(`/v1/lines/${line}/settings`, {
    method: 'PUT',
    headers: {
      'Content-Type': 'application/json',
      ...(revision ? { 'If-Match': `"${revision}"` } : { 'If-None-Match': '*' }),
    },
    body: JSON.stringify(change),
  })
}

export async function readPreview(
  line: string,
  product: string,
  budget: number,
  signal: AbortSignal,
): Promise<Preview | null> {
  try {
    return await json(`/v1/lines/${line}/threshold-preview?product=${product}&budget=${budget}`, { signal })
  } catch (error) {
    if (error instanceof ApiError && error.code === 'no-weights') return null
    throw error
  }
}

/** Send an image of a good part. Equal bytes are the same capture, so a repeat is harmless. */
export async function sendNormal(line: string, file: File): Promise<void> {
  await json(`/v1/lines/${line}/images?intent=normal`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/octet-stream' },
    body: file,
  })
}
