/** The captures of a line by filters: look over many, answer many at once, open one. */

import { useQuery } from '@tanstack/react-query'
import { useEffect, useMemo, useRef } from 'react'
import { readReasons } from '../api/captures'
import { readLines, type Session } from '../api/client'
import { queueAt } from '../app/address'
import { Failure, Loading } from '../app/parts'
import type { Done } from '../review/ReviewPage'
import { text } from '../text'
import { BulkBar } from './BulkBar'
import { FilterBar } from './FilterBar'
import { filtersOf, queryOf, searchOf } from './filters'
import { itemOf } from './item'
import { Opened } from './Opened'
import { Thumbnails } from './Thumbnails'
import { useBulk } from './useBulk'
import { useCaptures } from './useCaptures'

/** Names the opened capture in the address. */
const CAPTURE = 'capture'

interface Props {
  readonly line: string
  readonly search: string
  readonly session: Session
}

export function QueuePage({ line, search, session }: Props) {
  const filters = useMemo(() => filtersOf(search), [search])
  const openId = new URLSearchParams(search).get(CAPTURE)
  const bulk = useBulk(session.person)
  const list = useCaptures(line, queryOf(filters), bulk.answers)
  const reasons = useQuery({ queryKey: ['reasons', line], queryFn: () => readReasons(line) })
  const lines = useQuery({ queryKey: ['lines'], queryFn: readLines })
  const lastOpen = useRef(openId)
  useEffect(() => {
    if (openId !== null) lastOpen.current = openId
  }, [openId])

  const known = useMemo(
    () => new Map((reasons.data?.items ?? []).map((one) => [one.capture_id, one])),
    [reasons.data],
  )
  const classes = lines.data?.find((one) => one.line === line)?.classes ?? []
  const { captures } = list
  const at = captures.findIndex(({ capture_id }) => capture_id === openId)
  const opened = captures[at] && itemOf(captures[at], known.get(captures[at].capture_id))
  const show = (capture: string | null, wanted = filters) => {
    const query = new URLSearchParams(searchOf(wanted))
    if (capture !== null) query.set(CAPTURE, capture)
    location.hash = queueAt(line, query.toString())
  }

  if (opened) {
    const goTo = (index: number) => show(captures[index]?.capture_id ?? null)
    return (
      <Opened
        item={opened}
        revision={captures[at]?.answer?.revision ?? 0}
        session={session}
        classes={classes}
        progress={text.queue.of(at + 1, captures.length)}
        onStored={({ item, revision }: Done, said) => {
          bulk.take([{ item, revision, verdict: said }])
          bulk.setSaid(text.review.stored(said, revision))
          show(null)
        }}
        onNext={() => goTo(at + 1)}
        onPutOff={() => {
          list.refetch()
          goTo(at + 1)
        }}
        onPrevious={() => goTo(at - 1)}
      />
    )
  }
  if (list.isPending || (openId !== null && reasons.isPending)) return <Loading />

  const chosen = captures
    .filter(({ capture_id }) => bulk.selected.has(capture_id))
    .flatMap((one) => {
      const item = itemOf(one, known.get(one.capture_id))
      return item ? [{ item, revision: one.answer?.revision ?? 0 }] : []
    })
  return (
    <main className="queue">
      <FilterBar
        filters={filters}
        products={reasons.data?.products ?? []}
        classes={classes}
        onChange={(next) => show(null, next)}
      />
      {list.error && captures.length === 0 ? (
        <Failure error={list.error} onRetry={list.refetch} />
      ) : (
        <div className="scrolled">
          {openId !== null && <p role="alert">{text.queue.notListed}</p>}
          {captures.length > 0 ? (
            <Thumbnails
              shown={captures.map((capture) => ({
                capture,
                reason: known.get(capture.capture_id)?.reason ?? '',
              }))}
              selected={bulk.selected}
              onSelect={(next) => {
                bulk.setSelected(next)
                bulk.setSaid('')
              }}
              onOpen={(id) =>
                captures.some((one) => one.capture_id === id && itemOf(one, undefined))
                  ? show(id)
                  : bulk.setSaid(text.queue.cantOpen)
              }
              first={lastOpen.current}
            />
          ) : (
            <Empty isLooking={list.hasMore} isFiltered={search !== 'state='} line={line} />
          )}
          {list.error && <p role="alert">{`${text.queue.moreFailed} ${list.error.message}`}</p>}
          {list.hasMore && captures.length > 0 && (
            <button type="button" disabled={list.isLoadingMore} onClick={list.more}>
              {list.isLoadingMore ? text.loading : text.queue.more}
            </button>
          )}
        </div>
      )}
      <BulkBar bulk={bulk} chosen={chosen} captures={captures} onRefresh={list.refetch} />
    </main>
  )
}

function Empty({ isLooking, isFiltered, line }: { isLooking: boolean; isFiltered: boolean; line: string }) {
  if (isLooking) return <p className="centred quiet">{text.queue.looking}</p>
  return (
    <div className="centred">
      <p>{isFiltered ? text.queue.empty : text.review.none}</p>
      {isFiltered && <a href={queueAt(line, 'state=')}>{text.queue.noFilter}</a>}
    </div>
  )
}
