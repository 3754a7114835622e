/** Drawings that are not stored yet, kept in this browser. */

import { createStore, del, get, set } from 'idb-keyval'
import type { Drawing } from '../mask/drawing'
import type { History } from '../mask/history'

/** A drawing under way, with its undo steps. */
export interface Draft {
  readonly history: History<Drawing>
  /** Mask that the drawing began with. */
  readonly maskUri: string
}

const store = () => createStore('siad-drafts', 'drafts')

export async function readDraft(captureId: string): Promise<Draft | undefined> {
  try {
    return await get<Draft>(captureId, store())
  } catch {
    return undefined // a browser without storage has no draft
  }
}

/** Keep a draft. Returns false where the browser can't: full, or forbidden. */
export async function writeDraft(captureId: string, draft: Draft): Promise<boolean> {
  try {
    await set(captureId, draft, store())
    return true
  } catch {
    return false
  }
}

export async function dropDraft(captureId: string): Promise<void> {
  await del(captureId, store()).catch(() => undefined)
}
