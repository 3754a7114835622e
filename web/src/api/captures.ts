/** Lists of captures: pages by filters, and what people said about each. */

import type { ListedMark } from '../mask/versions'
import { captureAt, json, type Review, type ReviewItem, type Selection, type Verdict } from './client'
import type { Deferral } from './deferrals'

export interface Finding {
  readonly weights: string
  readonly score: number
  readonly threshold: number
  readonly mask_uri: string
}

/** One row of a list. */
export interface ListedCapture {
  readonly capture_id: string
  readonly line: string
  readonly product: string
  readonly serial: string
  readonly captured_at: string
  readonly state: 'open' | 'answered' | 'skipped'
  readonly verdict: Finding | null
  readonly pseudo_mask: Finding | null
  readonly answer: ListedAnswer | null
  /** People who put it off while it is open, the newest first. */
  readonly deferrals: readonly Deferral[]
}

/** The newest answer of a person. */
export interface ListedAnswer {
  readonly verdict: Verdict
  readonly revision: number
  readonly person: string
}

export interface CapturesPage {
  readonly captures: readonly ListedCapture[]
  /** Where the next page begins; null: this is the last. */
  readonly next: string | null
}

/** One revision of an answer, as it is stored. */
export interface Correction {
  readonly revision: number
  readonly verdict: Verdict
  readonly author: string
  readonly mask_uri: string
  readonly selection: Selection
  readonly objects: readonly ListedMark[]
}

/** Captures of a page of thumbnails. */
const LIMIT = 48
/** Most captures that the console gives a reason for at once. */
const REASONS_MAX = 500

export async function readCaptures(
  line: string,
  query: Readonly<Record<string, string>>,
  after: string | null,
  signal: AbortSignal,
  limit = LIMIT,
): Promise<CapturesPage> {
  const search = new URLSearchParams({ ...query, limit: String(limit) })
  if (after !== null) search.set('after', after)
  return json(`/v1/lines/${line}/captures?${search}`, { signal })
}

/** What the review says of the captures that are worth an answer, and the products. No capture is leased. */
export async function readReasons(line: string): Promise<Review> {
  return json(`/v1/lines/${line}/review?count=${REASONS_MAX}`)
}

/** Every revision of a capture's answer, oldest first. */
export async function readCorrections(
  capture: Pick<ReviewItem, 'line' | 'capture_id'>,
): Promise<readonly Correction[]> {
  return (await json<{ corrections: Correction[] }>(`${captureAt(capture)}/corrections`)).corrections
}

export function thumbnailAt(capture: Pick<ReviewItem, 'line' | 'capture_id'>): string {
  return `${captureAt(capture)}/thumbnail`
}
