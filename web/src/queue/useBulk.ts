/** Answers to the selected captures, and the way back. */

import { useCallback, useRef, useState } from 'react'
import type { ListedAnswer } from '../api/captures'
import { ApiError } from '../api/client'
import { text } from '../text'
import {
  afterUndo,
  answerAll,
  type BulkResult,
  type Chosen,
  changesOf,
  NoMarksError,
  type Outcome,
  undoAll,
} from './bulk'

export function useBulk(person: string) {
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set())
  const [answers, setAnswers] = useState<ReadonlyMap<string, ListedAnswer>>(new Map())
  const [steps, setSteps] = useState<readonly (readonly Outcome[])[]>([])
  const [said, setSaid] = useState('')
  const isBusy = useRef(false)

  const take = useCallback(
    (outcomes: readonly Omit<Outcome, 'newest'>[]) =>
      setAnswers((before) => {
        const next = new Map(before)
        for (const { item, verdict, revision } of outcomes)
          next.set(item.capture_id, { verdict, revision, person })
        return next
      }),
    [person],
  )
  const run = useCallback(
    async (count: number, work: (onStep: (done: number) => void) => Promise<BulkResult>) => {
      if (isBusy.current) return null
      isBusy.current = true
      const show = (done: number) => setSaid(text.queue.storing(done, count))
      show(0)
      try {
        const result = await work(show)
        take(result.stored)
        return result
      } finally {
        isBusy.current = false
      }
    },
    [take],
  )

  const answer = useCallback(
    async (chosen: readonly Chosen[], verdict: 'defect' | 'good') => {
      if (chosen.length === 0) return setSaid(text.queue.choose)
      const result = await run(chosen.length, (onStep) => answerAll(chosen, verdict, person, onStep))
      if (!result) return
      const changes = changesOf(chosen, result.stored)
      if (changes.length > 0) setSteps((before) => [...before, changes])
      setSelected(new Set(result.refused.map(({ item }) => item.capture_id)))
      setSaid(text.queue.stored(verdict, result.stored.length) + whyNot(result))
    },
    [run, person],
  )
  const undo = useCallback(async () => {
    const last = steps.at(-1)
    if (!last) return setSaid(text.queue.nothingUndone)
    const result = await run(last.length, (onStep) => undoAll(last, person, onStep))
    if (!result) return
    // what another person answered meanwhile stays theirs; everything else can be tried again
    const again = result.refused.filter(({ error }) => error instanceof ApiError && error.status !== 412)
    const left = last.filter(({ item }) => again.some((one) => one.item.capture_id === item.capture_id))
    setSteps((before) => [
      ...before.slice(0, -1).map((earlier) => afterUndo(earlier, result.stored)),
      ...(left.length > 0 ? [left] : []),
    ])
    setSelected(new Set(last.map(({ item }) => item.capture_id)))
    setSaid(text.queue.undone(result.stored.length) + whyNot(result))
  }, [run, steps, person])

  return { selected, setSelected, answers, take, answer, undo, canUndo: steps.length > 0, said, setSaid }
}

/** How many were not stored, and why the first was not; empty where all were. */
function whyNot({ refused }: BulkResult): string {
  const error = refused[0]?.error
  if (!error) return ''
  if (error instanceof NoMarksError) return text.queue.refused(refused.length, text.queue.noMarks)
  if (error instanceof ApiError && error.status === 0)
    return text.queue.refused(refused.length, text.queue.away)
  const isOvertaken = error instanceof ApiError && error.status === 412
  return text.queue.refused(refused.length, isOvertaken ? text.queue.overtaken : error.message)
}
