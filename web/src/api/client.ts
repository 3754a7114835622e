/** Requests to the console. Every failure is an ApiError whose message can be shown. */

import { text } from '../text'

export interface Session {
  readonly person: string
  readonly expires_at: string
  readonly session_id: string
  /** By line; of * on every line. */
  readonly roles: Readonly<Record<string, Role>>
}

export type Role = 'viewer' | 'annotator' | 'engineer' | 'admin'

/** A session of the same person, here or elsewhere. */
export interface OpenSession {
  readonly session_id: string
  readonly method: string
  readonly client: string
  readonly opened_at: string
  readonly is_this: boolean
}

export interface Line {
  readonly line: string
  readonly product: string
  /** Kinds of defects, in the order of their digits. */
  readonly classes: readonly string[]
}

export type Selection = 'nearest' | 'random' | 'chosen'
export type Verdict = 'good' | 'defect' | 'unsure'

/** A capture to answer, and why it is shown. */
export interface ReviewItem {
  readonly capture_id: string
  readonly line: string
  readonly product: string
  readonly serial: string
  readonly captured_at: string
  readonly mask_uri: string
  readonly weights: string
  readonly score: number
  readonly threshold: number
  readonly decision: 'reject' | 'pass'
  /** Null: as the console knows it. */
  readonly selection: Selection | null
  readonly reason: string
}

export interface Review {
  readonly line: string
  readonly captures: number
  readonly answered: number
  readonly products: readonly string[]
  readonly items: readonly ReviewItem[]
  readonly labour: Labour
}

/** What answers took, and what further ones bring. */
export interface Labour {
  readonly active_s: number
  readonly trainings: readonly {
    readonly product: string
    readonly new: number
    readonly needed: number
    readonly missing: number
  }[]
  /** Why looking on would not pay; empty while it does. */
  readonly advice: string
}

export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** HTTP status; 0 where there was no answer. */
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }

  /** Whether the same request may succeed later. */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 503
  }
}

const SESSION = '/v1/session'
const signedOut = new EventTarget()

/** Call back when a request is refused because the session has ended; returns what stops it. */
export function onSignedOut(listener: () => void): () => void {
  signedOut.addEventListener('signed-out', listener)
  return () => signedOut.removeEventListener('signed-out', listener)
}

export async function signIn(
  by: { readonly token: string } | { readonly name: string; readonly password: string },
): Promise<Session> {
  return json(SESSION, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(by),
  })
}

/** Ways to sign in, beside name and password. */
export interface Ways {
  /** Name of the identity provider; empty: there is none. */
  readonly provider: string
  readonly has_links: boolean
}

export async function readWays(): Promise<Ways> {
  return json('/v1/sign-in-ways')
}

/** Where sign-in at the identity provider begins. */
export const providerAt = '/v1/oidc/sign-in'

export async function readSessions(): Promise<readonly OpenSession[]> {
  return (await json<{ sessions: OpenSession[] }>('/v1/sessions')).sessions
}

export async function endSession(id: string): Promise<void> {
  await request(`/v1/sessions/${id}`, { method: 'DELETE' })
}

export async function readSession(): Promise<Session | null> {
  try {
    return await json<Session>(SESSION)
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null
    throw error
  }
}

export async function signOut(): Promise<void> {
  await request(SESSION, { method: 'DELETE' })
}

export async function readLines(): Promise<readonly Line[]> {
  return (await json<{ lines: Line[] }>('/v1/lines')).lines
}

export async function readReview(line: string, count: number, holder: string): Promise<Review> {
  return json(`/v1/lines/${line}/review?count=${count}&holder=${holder}`)
}

export async function renewLease(line: string, capture: string, holder: string): Promise<void> {
  await request(leaseAt(line, capture, holder), { method: 'PUT' })
}

/** End a lease, also while the page is left. */
export async function releaseLease(line: string, capture: string, holder: string): Promise<void> {
  await request(leaseAt(line, capture, holder), { method: 'DELETE', keepalive: true })
}

export async function readImage(item: ReviewItem, signal: AbortSignal): Promise<Blob> {
  return (await request(`${captureAt(item)}/image`, { signal })).blob()
}

/** Ids of a sample of the normals of a product. */
export async function readNormals(
  line: string,
  product: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const query = new URLSearchParams({ product })
  return (await json<{ captures: string[] }>(`/v1/lines/${line}/normals?${query}`, { signal })).captures
}

/** A mask and the capture that it belongs to. */
export type MaskOfCapture = Pick<ReviewItem, 'line' | 'capture_id' | 'mask_uri'>

/** The mask that was shown to the stages; null where nothing is marked. */
export async function readMask(item: MaskOfCapture, signal?: AbortSignal): Promise<Blob | null> {
  if (item.mask_uri === '') return null
  return (await request(maskAt(item), signal ? { signal } : {})).blob()
}

export function maskAt(item: MaskOfCapture): string {
  const name = item.mask_uri.slice(item.mask_uri.lastIndexOf('/') + 1).replace(/\.png$/, '')
  return `${captureAt(item)}/masks/${name}`
}

/** Map of the machine's scores; null where the labeler stored none. */
export async function readScoreMap(item: ReviewItem, signal: AbortSignal): Promise<Blob | null> {
  try {
    return await (await request(`${captureAt(item)}/score-maps/${item.weights}`, { signal })).blob()
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null
    throw error
  }
}

export interface Answer {
  readonly verdict: Verdict
  readonly author: string
  /** Only of a defect. */
  readonly mask: Blob | null
  /** The revision that the person saw; 0 where there was no correction. */
  readonly revision: number
  /** What became of each mark, and what it took. */
  readonly work: object
}

/** What an answer must know of its capture. */
export type AnsweredCapture = Pick<ReviewItem, 'line' | 'capture_id' | 'selection'>

/** Store an answer; returns the revision that it became. */
export async function correct(item: AnsweredCapture, answer: Answer): Promise<number> {
  const query = new URLSearchParams({
    verdict: answer.verdict,
    author: answer.author,
  })
  if (item.selection) query.set('selection', item.selection)
  const form = new FormData()
  form.set('image', answer.mask ?? new Blob([]), 'mask.png')
  form.set('work', JSON.stringify(answer.work))
  return revisionOf(
    await request(`${captureAt(item)}/corrections?${query}`, {
      method: 'POST',
      headers: { 'If-Match': `"${answer.revision}"` },
      body: form,
    }),
  )
}

function leaseAt(line: string, capture: string, holder: string): string {
  return `/v1/lines/${line}/captures/${capture}/lease?holder=${holder}`
}

export function captureAt(item: Pick<ReviewItem, 'line' | 'capture_id'>): string {
  return `/v1/lines/${item.line}/captures/${item.capture_id}`
}

function revisionOf(response: Response): number {
  return Number((response.headers.get('ETag') ?? '').replaceAll('"', '')) || 0
}

export async function json<T>(path: string, init?: RequestInit): Promise<T> {
  return (await request(path, init)).json() as Promise<T>
}

async function request(path: string, init?: RequestInit): Promise<Response> {
  let response: Response
  try {
    response = await fetch(path, { credentials: 'same-origin', ...init })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ApiError(0, 'no-answer', text.noAnswer)
  }
  if (response.ok) return response
  const problem = await response.json().catch(() => ({}))
  const code = String(problem.type ?? '').replace(/^urn:siad:problem:/, '')
  if (code === 'signed-out' && path !== SESSION) signedOut.dispatchEvent(new Event('signed-out'))
  throw new ApiError(
    response.status,
    code,
    String(problem.detail ?? `${response.status} ${response.statusText}`),
  )
}
