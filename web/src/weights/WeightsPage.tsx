/** Weights of a line: what judges, what was refused and why, and commands about them. */

import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { Session } from '../api/client'
import { type CommandKind, type ProductWeights, readWeights } from '../api/weights'
import { Failure, Loading } from '../app/parts'
import { text } from '../text'
import { CommandDialog } from './CommandDialog'
import { CommandList } from './CommandList'
import { Differences } from './Differences'
import { configures } from './may'
import { moment, short } from './moments'
import { Releases } from './Releases'
import { Runs } from './Runs'
import { type Given, newGiven, useCommands } from './useCommands'
import './weights.css'

const READ_MS = 5_000

interface Props {
  readonly line: string
  readonly session: Session
}

export function WeightsPage({ line, session }: Props) {
  const list = useQuery({
    queryKey: ['weights', line],
    queryFn: ({ signal }) => readWeights(line, signal),
    refetchInterval: READ_MS,
  })
  const commands = useCommands(line)
  const [chosen, setChosen] = useState('')
  const mayConfigure = configures(session, line)
  const [asked, setAsked] = useState<Given | null>(null)
  if (list.isPending) return <Loading />
  if (!list.data) return <Failure error={list.error as Error} onRetry={() => void list.refetch()} />
  const product = list.data.find((one) => one.product === chosen) ?? list.data[0]
  if (!product) {
    return (
      <main className="centred">
        <p>{text.weights.none}</p>
        <pre>{text.weights.command(line)}</pre>
      </main>
    )
  }
  const ask = (kind: CommandKind, weights = '') => {
    commands.giving.reset()
    setAsked(newGiven({ kind, product: product.product, by: session.person, reason: '', weights }))
  }
  return (
    <main className="weights">
      {list.isError && <p role="alert">{text.weights.stale}</p>}
      {list.data.length > 1 && (
        <label>
          {text.weights.product}{' '}
          <select value={product.product} onChange={(event) => setChosen(event.target.value)}>
            {list.data.map((one) => (
              <option key={one.product}>{one.product}</option>
            ))}
          </select>
        </label>
      )}
      <Judging product={product} onAsk={mayConfigure ? ask : null} />
      <CommandList list={commands.list} product={product.product} />
      <Releases
        weights={product.weights}
        onReturn={mayConfigure ? (weights) => ask('rollback', weights) : null}
      />
      <Runs runs={product.runs} />
      <Differences line={line} product={product} />
      {asked && (
        <CommandDialog
          kind={asked.order.kind}
          weights={short(asked.order.weights)}
          error={commands.giving.error?.message ?? ''}
          isGiving={commands.giving.isPending}
          onGive={(reason) =>
            commands.giving.mutate(
              { ...asked, order: { ...asked.order, reason } },
              { onSuccess: () => setAsked(null) },
            )
          }
          onCancel={() => setAsked(null)}
        />
      )}
    </main>
  )
}

interface JudgingProps {
  readonly product: ProductWeights
  /** Null: the person may look, and not command. */
  readonly onAsk: ((kind: CommandKind) => void) | null
}

function Judging({ product, onAsk }: JudgingProps) {
  const judges = product.weights.find(({ weights }) => weights === product.judges)
  return (
    <section className="judging">
      <div>
        <h2>
          {judges
            ? text.weights.judges(
                text.weights.kinds[judges.kind],
                short(judges.weights),
                judges.since_at ? moment(judges.since_at) : '',
              )
            : text.weights.nothingJudges}
        </h2>
        <p className={product.paused ? 'held' : 'quiet'}>
          {product.paused ? `${text.weights.paused}: ${product.paused}` : text.weights.learns}
        </p>
      </div>
      {!onAsk && <p className="quiet">{text.weights.onlyLooks}</p>}
      {onAsk && (
        <p className="buttons">
          {(['train', product.is_held ? 'resume' : 'hold', 'rollback'] as const).map((kind) => (
            <button type="button" key={kind} onClick={() => onAsk(kind)}>
              {text.weights.actions[kind]}
            </button>
          ))}
        </p>
      )}
    </section>
  )
}
