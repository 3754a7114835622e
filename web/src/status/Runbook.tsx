/** What to do about an alert: its runbook. */

import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { readRunbook } from '../api/status'
import { text } from '../text'
import { type Block, blocksOf, partsOf } from './markdown'

/** The runbook of an alert, read when it is opened; links lead to other runbooks in its place. */
export function Runbook({ alert }: { alert: string }) {
  const [isOpen, setOpen] = useState(false)
  const [name, setName] = useState(alert)
  const found = useQuery({
    queryKey: ['runbook', name],
    queryFn: ({ signal }) => readRunbook(name, signal),
    enabled: isOpen,
    staleTime: Number.POSITIVE_INFINITY,
  })
  const blocks = found.data === undefined ? [] : blocksOf(found.data)
  return (
    <details
      className="runbook"
      onToggle={(event) => {
        setOpen(event.currentTarget.open)
        if (!event.currentTarget.open) setName(alert)
      }}
    >
      <summary>{text.status.whatToDo}</summary>
      {found.isLoading && <p className="quiet">{text.loading}</p>}
      {found.isError && (
        <p role="alert">
          {text.status.noRunbook} {found.error.message}
        </p>
      )}
      {blocks.map((block, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the text of a runbook does not change
        <BlockView key={at} block={block} onOpen={setName} />
      ))}
    </details>
  )
}

type Opens = (alert: string) => void

function BlockView({ block, onOpen }: { block: Block; onOpen: Opens }) {
  if (block.kind === 'code') return <pre>{block.text}</pre>
  if (block.kind === 'heading') {
    return (
      <h3>
        <Parts text={block.text} onOpen={onOpen} />
      </h3>
    )
  }
  if (block.kind === 'list') {
    const List = block.isOrdered ? 'ol' : 'ul'
    return (
      <List>
        {block.items.map((item) => (
          <li key={item}>
            <Parts text={item} onOpen={onOpen} />
          </li>
        ))}
      </List>
    )
  }
  if (block.kind === 'table') {
    const [head = [], ...rows] = block.rows
    return (
      <table>
        <thead>
          <tr>
            {head.map((cell) => (
              <th key={cell} scope="col">
                <Parts text={cell} onOpen={onOpen} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.join('|')}>
              {row.map((cell) => (
                <td key={cell}>
                  <Parts text={cell} onOpen={onOpen} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    )
  }
  return (
    <p>
      <Parts text={block.text} onOpen={onOpen} />
    </p>
  )
}

function Parts({ text: source, onOpen }: { text: string; onOpen: Opens }) {
  return partsOf(source).map((part, at) => {
    const key = `${at} ${part.text}`
    if (part.kind !== 'link') {
      const Part = { code: 'code', strong: 'strong', text: 'span' }[part.kind] as 'code' | 'strong' | 'span'
      return <Part key={key}>{part.text}</Part>
    }
    const runbook = /^(Siad[A-Za-z]+)\.md/.exec(part.to)?.[1]
    if (runbook === undefined)
      return <em key={key}>{`${part.text} (${part.to.replace(/^(\.\.\/)+/, 'docs/')})`}</em>
    return (
      <button type="button" className="link" key={key} onClick={() => onOpen(runbook)}>
        {part.text}
      </button>
    )
  })
}
