/** Sends images one after another; those that were refused stay, with the reason. */

import { useState } from 'react'
import { sendNormal } from '../api/lines'

export interface Refused {
  readonly file: File
  readonly why: string
}

export interface Upload {
  /** Images of this attempt; 0: none is under way. */
  readonly count: number
  readonly done: number
  readonly sent: number
  readonly refused: readonly Refused[]
  readonly send: (line: string, files: readonly File[]) => Promise<void>
}

export function useUpload(onSent: () => void): Upload {
  const [state, setState] = useState({ count: 0, done: 0, sent: 0, refused: [] as readonly Refused[] })
  const send = async (line: string, files: readonly File[]) => {
    const refused: Refused[] = []
    setState((before) => ({ ...before, count: files.length, done: 0, refused: [] }))
    for (const [index, file] of files.entries()) {
      try {
        await sendNormal(line, file)
      } catch (error) {
        refused.push({ file, why: (error as Error).message })
      }
      setState((before) => ({ ...before, done: index + 1 }))
    }
    setState(({ sent }) => ({ count: 0, done: 0, sent: sent + files.length - refused.length, refused }))
    onSent()
  }
  return { ...state, send }
}
