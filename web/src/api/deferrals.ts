/** Captures that a person puts off. */

import { captureAt, json, type ReviewItem } from './client'

/** A person put a capture off, and is asked again at the end. */
export interface Deferral {
  readonly person: string
  readonly reason: string
  readonly until: string
}

/** Most characters of a reason. */
export const REASON_MAX = 200

/** Put a capture off for a day. */
export async function putOff(
  item: Pick<ReviewItem, 'line' | 'capture_id'>,
  person: string,
  reason: string,
): Promise<Deferral> {
  const query = new URLSearchParams({ author: person })
  return json(`${captureAt(item)}/deferral?${query}`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ reason }),
  })
}
