/** Pages of a line's captures, with the answers that were stored here since. */

import { useInfiniteQuery } from '@tanstack/react-query'
import { useEffect, useMemo } from 'react'
import { type ListedAnswer, type ListedCapture, readCaptures } from '../api/captures'

export function useCaptures(
  line: string,
  query: Readonly<Record<string, string>>,
  answers: ReadonlyMap<string, ListedAnswer>,
) {
  const list = useInfiniteQuery({
    queryKey: ['captures', line, query],
    queryFn: ({ pageParam, signal }) => readCaptures(line, query, pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  })
  const captures = useMemo(
    () => (list.data?.pages ?? []).flatMap((page) => page.captures).map((one) => withAnswer(one, answers)),
    [list.data, answers],
  )
  const { hasNextPage, isFetching, isError, fetchNextPage } = list
  // a page looks at so many captures at most: where none of them fits, the next page goes on
  useEffect(() => {
    if (captures.length === 0 && hasNextPage && !isFetching && !isError) void fetchNextPage()
  }, [captures.length, hasNextPage, isFetching, isError, fetchNextPage])
  return {
    captures,
    isPending: list.isPending,
    error: list.error,
    hasMore: hasNextPage,
    isLoadingMore: list.isFetchingNextPage,
    more: () => void fetchNextPage(),
    refetch: () => void list.refetch(),
  }
}

/** The newer one of the console's answer and that of this page. */
function withAnswer(capture: ListedCapture, answers: ReadonlyMap<string, ListedAnswer>): ListedCapture {
  const here = answers.get(capture.capture_id)
  return here && here.revision > (capture.answer?.revision ?? 0) ? { ...capture, answer: here } : capture
}
