/** Captures of a line, one after the other, each with its answer. */

import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useCallback, useEffect, useMemo, useState } from 'react'
import type { Review, ReviewItem, Session } from '../api/client'
import { readLines, readReview } from '../api/client'
import type { Deferral } from '../api/deferrals'
import { Failure, Loading } from '../app/parts'
import { text } from '../text'
import { CaptureReview } from './CaptureReview'
import { CaptureLoader } from './capture'
import { Loaded } from './Loaded'
import { holderOfTab, Leases, leaseApi, RENEW_MS } from './leases'
import { answeredNow } from './progress'

const AHEAD = 6
/** Most captures of one review, as the console has it. */
const COUNT_MAX = 500

/** A capture that was answered on this page, or skipped. */
export interface Done {
  readonly item: ReviewItem
  /** Of the answer; 0: it was skipped. */
  readonly revision: number
}

export function ReviewPage({ line, session }: { line: string; session: Session }) {
  const client = useQueryClient()
  const [skipped, setSkipped] = useState<ReadonlySet<string>>(new Set())
  // the console names skipped captures again: ask for as many more
  const count = Math.min(COUNT_MAX, AHEAD + skipped.size)
  const holder = useMemo(holderOfTab, [])
  const review = useQuery({ queryKey: ['review', line], queryFn: () => readReview(line, count, holder) })
  const lines = useQuery({ queryKey: ['lines'], queryFn: readLines })
  const loader = useMemo(() => new CaptureLoader(), [])
  const [done, setDone] = useState<readonly Done[]>([])
  const [again, setAgain] = useState<Done | null>(null)
  const [message, setMessage] = useState('')

  const answered = useMemo(
    () => new Set(done.filter(({ revision }) => revision > 0).map(({ item }) => item.capture_id)),
    [done],
  )
  const waiting = useMemo(
    () =>
      (review.data?.items ?? []).filter(
        ({ capture_id }) => !answered.has(capture_id) && !skipped.has(capture_id),
      ),
    [review.data, answered, skipped],
  )
  const item = again?.item ?? waiting[0]
  const upcoming = waiting[again ? 0 : 1]

  useEffect(() => {
    loader.keep([item, upcoming].filter((one) => one !== undefined))
  }, [loader, item, upcoming])
  useEffect(() => () => loader.keep([]), [loader])
  useLeases(line, holder, review.data, waiting)
  useEffect(() => {
    if (waiting.length <= 1) void client.invalidateQueries({ queryKey: ['review', line] })
  }, [client, line, waiting.length])

  const onStored = useCallback((stored: Done, said: string) => {
    setDone((before) => withDone(before, stored))
    setAgain(null)
    setMessage(text.review.stored(said, stored.revision))
  }, [])
  const revision = again?.revision ?? 0
  const onSkip = useCallback(() => {
    if (item) setSkipped((before) => new Set(before).add(item.capture_id))
    if (item) setDone((before) => withDone(before, { item, revision }))
    setAgain(null)
    setMessage('')
  }, [item, revision])
  const onPutOff = useCallback(
    (deferral: Deferral) => {
      onSkip()
      setMessage(text.deferrals.stored(new Date(deferral.until).toLocaleString()))
    },
    [onSkip],
  )
  const onPrevious = useCallback(() => {
    const at = again ? done.findIndex((one) => one.item.capture_id === again.item.capture_id) : done.length
    const previous = done[at - 1]
    if (previous) setAgain(previous)
    else setMessage(text.hints.noPrevious)
  }, [done, again])

  if (review.isPending || lines.isPending) return <Loading />
  if (review.isError && !review.data) {
    return <Failure error={review.error} onRetry={() => void review.refetch()} />
  }
  const named = review.data.items.map(({ capture_id }) => capture_id)
  const { labour } = review.data
  const left = text.review.left(answeredNow(review.data.answered, named, answered), review.data.captures)
  const training = labour.trainings.find((one) => one.product === item?.product) ?? labour.trainings[0]
  const progress = `${left}. ${text.labour.meter(labour.active_s / 60, training?.missing)}`
  if (!item) {
    return (
      <main className="centred">
        <p>{review.data.captures === 0 ? text.review.none : text.review.empty}</p>
        <p className="quiet">{progress}</p>
        <p role="status">{message || labour.advice}</p>
        {done.length > 0 && (
          <button type="button" onClick={onPrevious}>
            {text.actions.previous}
          </button>
        )}{' '}
        <button
          type="button"
          className="main"
          onClick={() => {
            setSkipped(new Set())
            void review.refetch()
          }}
        >
          {text.review.again}
        </button>
      </main>
    )
  }
  return (
    <Loaded
      key={`${item.capture_id} ${item.mask_uri} ${again?.revision ?? ''}`}
      item={item}
      loader={loader}
      onSkip={onSkip}
    >
      {(capture, draft) => (
        <CaptureReview
          item={item}
          capture={capture}
          draft={draft}
          session={session}
          classes={lines.data?.find((one) => one.line === line)?.classes ?? []}
          revision={revision}
          progress={progress}
          message={message || labour.advice}
          onStored={onStored}
          onSkip={onSkip}
          onPutOff={onPutOff}
          onPrevious={onPrevious}
        />
      )}
    </Loaded>
  )
}

/** Captures in the order in which they were left last. */
function withDone(before: readonly Done[], one: Done): readonly Done[] {
  return [...before.filter(({ item }) => item.capture_id !== one.item.capture_id), one]
}

/** Hold the captures that wait, while the page is seen. */
function useLeases(line: string, holder: string, review: Review | undefined, waiting: readonly ReviewItem[]) {
  const leases = useMemo(() => new Leases(leaseApi(line, holder)), [line, holder])
  useEffect(() => {
    const named = review?.items ?? []
    leases.keep(
      waiting.map(({ capture_id }) => capture_id),
      named.map(({ capture_id }) => capture_id),
    )
  }, [leases, review, waiting])
  useEffect(() => {
    const onLeave = () => leases.end()
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') leases.renew()
    }, RENEW_MS)
    window.addEventListener('pagehide', onLeave)
    return () => {
      clearInterval(timer)
      window.removeEventListener('pagehide', onLeave)
      leases.end()
    }
  }, [leases])
}
