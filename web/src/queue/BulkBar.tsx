/** What can be done with the selected captures, by button or key. */

import { useEffect } from 'react'
import type { ListedCapture } from '../api/captures'
import { text } from '../text'
import type { Chosen } from './bulk'
import type { useBulk } from './useBulk'

interface Props {
  readonly bulk: ReturnType<typeof useBulk>
  readonly chosen: readonly Chosen[]
  readonly captures: readonly ListedCapture[]
  readonly onRefresh: () => void
}

export function BulkBar({ bulk, chosen, captures, onRefresh }: Props) {
  const { answer, undo, setSelected } = bulk
  const selectAll = () => setSelected(new Set(captures.map(({ capture_id }) => capture_id)))
  useEffect(() => {
    const ending = new AbortController()
    const onDown = (event: KeyboardEvent) => {
      const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement
      if (isTyping || event.altKey || event.repeat || document.querySelector('dialog[open]')) return
      const isWithCtrl = event.ctrlKey || event.metaKey
      const key = event.key.toLowerCase()
      if (isWithCtrl && key === 'a') setSelected(new Set(captures.map(({ capture_id }) => capture_id)))
      else if (isWithCtrl && key === 'z') void undo()
      else if (!isWithCtrl && key === 'a') void answer(chosen, 'defect')
      else if (!isWithCtrl && key === 'g') void answer(chosen, 'good')
      else return
      event.preventDefault()
    }
    window.addEventListener('keydown', onDown, { signal: ending.signal })
    return () => ending.abort()
  }, [answer, undo, setSelected, captures, chosen])
  const isNone = chosen.length === 0
  return (
    <footer>
      <button type="button" className="main" disabled={isNone} onClick={() => void answer(chosen, 'defect')}>
        {text.queue.accept} <kbd>A</kbd>
      </button>
      <button type="button" disabled={isNone} onClick={() => void answer(chosen, 'good')}>
        {text.queue.good} <kbd>G</kbd>
      </button>
      <button type="button" disabled={!bulk.canUndo} onClick={() => void undo()}>
        {text.queue.undo} <kbd>Ctrl+Z</kbd>
      </button>
      <button type="button" onClick={isNone ? selectAll : () => setSelected(new Set())}>
        {isNone ? text.queue.all : text.queue.none}
      </button>
      <button type="button" onClick={onRefresh}>
        {text.queue.refresh}
      </button>
      <span className="progress">{text.queue.chosen(chosen.length)}</span>
      <span className="status" role="status">
        {bulk.said || text.queue.keys}
      </span>
    </footer>
  )
}
