/** Leases of the captures that this page shows, so that other pages are given others. */

import { releaseLease, renewLease } from '../api/client'

/** A lease lasts five minutes. */
export const RENEW_MS = 120_000
const HOLDER_KEY = 'siad-holder'

interface LeaseApi {
  readonly renew: (capture: string) => Promise<void>
  readonly release: (capture: string) => Promise<void>
}

/** Name of this tab, random; a reload keeps it, and so the captures. */
export function holderOfTab(): string {
  try {
    const known = sessionStorage.getItem(HOLDER_KEY)
    if (known) return known
    const made = randomName()
    sessionStorage.setItem(HOLDER_KEY, made)
    return made
  } catch {
    return randomName() // a browser without storage: a reload shows other captures
  }
}

export function leaseApi(line: string, holder: string): LeaseApi {
  return {
    renew: (capture) => renewLease(line, capture, holder),
    release: (capture) => releaseLease(line, capture, holder),
  }
}

/**
 * Keeps the leases that a review gave. Failures are ignored: an answer needs no lease, and one that
 * was not ended ends by itself.
 */
export class Leases {
  private held: ReadonlySet<string> = new Set()
  private readonly api: LeaseApi

  constructor(api: LeaseApi) {
    this.api = api
  }

  /**
   * Keep some captures and release all others.
   *
   * @param wanted captures that are shown next.
   * @param named captures of the last review, each of which has a lease.
   */
  keep(wanted: readonly string[], named: readonly string[]): void {
    const kept = new Set(wanted)
    const others = new Set([...this.held, ...named])
    this.held = kept
    for (const capture of others)
      if (!kept.has(capture)) void this.api.release(capture).catch(() => undefined)
  }

  renew(): void {
    for (const capture of this.held) void this.api.renew(capture).catch(() => undefined)
  }

  end(): void {
    this.keep([], [])
  }
}

function randomName(): string {
  // not randomUUID, which browsers have over HTTPS and on this machine alone
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
}
