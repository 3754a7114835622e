/** Commands of a line: the newest, read often while a stage has not answered, and giving another. */

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type CommandOrder, giveCommand, newCommandId, readCommands } from '../api/weights'

const BUSY_MS = 1_000
const QUIET_MS = 10_000

/** A command under its id, so that a second attempt is the same command. */
export interface Given {
  readonly id: string
  readonly order: CommandOrder
}

export function useCommands(line: string) {
  const client = useQueryClient()
  const list = useQuery({
    queryKey: ['commands', line],
    queryFn: ({ signal }) => readCommands(line, signal),
    refetchInterval: (query) => (query.state.data?.some(({ fate }) => fate === null) ? BUSY_MS : QUIET_MS),
  })
  const giving = useMutation({
    networkMode: 'always',
    mutationFn: ({ id, order }: Given) => giveCommand(line, id, order),
    onSettled: () => client.invalidateQueries({ queryKey: ['commands', line] }),
  })
  return { list, giving }
}

export function newGiven(order: CommandOrder): Given {
  return { id: newCommandId(Date.now()), order }
}
