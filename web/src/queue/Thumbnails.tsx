/** Captures as thumbnails with their marks: a list to choose from by keys or pointer. */

import { useEffect, useRef, useState } from 'react'
import { type ListedCapture, thumbnailAt } from '../api/captures'
import { maskAt } from '../api/client'
import { text } from '../text'
import { columnsOf, moved, toggled } from './grid'
import { deferredBy } from './item'

export interface Shown {
  readonly capture: ListedCapture
  readonly reason: string
}

interface Props {
  readonly shown: readonly Shown[]
  readonly selected: ReadonlySet<string>
  readonly onSelect: (selected: ReadonlySet<string>) => void
  readonly onOpen: (captureId: string) => void
  /** Capture that has the focus first, when the grid is shown again. */
  readonly first: string | null
}

export function Thumbnails({ shown, selected, onSelect, onOpen, first }: Props) {
  const list = useRef<HTMLDivElement>(null)
  const ids = shown.map(({ capture }) => capture.capture_id)
  const [current, setCurrent] = useState(first)
  const at = Math.max(0, current === null ? 0 : ids.indexOf(current))

  // the keys act at once, also on the way back from the annotator
  const isFirst = useRef(true)
  useEffect(() => {
    if (isFirst.current) focusOn(list.current, at)
    isFirst.current = false
  }, [at])

  const onKeyDown = (event: React.KeyboardEvent) => {
    const id = ids[at]
    if (id === undefined || event.ctrlKey || event.metaKey || event.altKey) return
    const options = [...(list.current?.children ?? [])] as HTMLElement[]
    const to = moved(at, event.key, columnsOf(options.map((one) => one.offsetTop)), ids.length)
    const next = to === null ? undefined : ids[to]
    if (to !== null && next !== undefined) {
      setCurrent(next)
      focusOn(list.current, to)
      if (event.shiftKey) onSelect(new Set([...selected, id, next]))
    } else if (event.key === ' ') onSelect(toggled(selected, id))
    else if (event.key === 'Enter') onOpen(id)
    else if (event.key === 'Escape') onSelect(new Set())
    else return
    event.preventDefault()
  }
  return (
    <div
      ref={list}
      className="thumbnails"
      role="listbox"
      aria-multiselectable="true"
      aria-label={text.queue.heading}
      tabIndex={-1}
      onKeyDown={onKeyDown}
    >
      {shown.map(({ capture, reason }, index) => (
        <Thumbnail
          key={capture.capture_id}
          capture={capture}
          reason={reason}
          isSelected={selected.has(capture.capture_id)}
          isCurrent={index === at}
          onClick={() => {
            setCurrent(capture.capture_id)
            onSelect(toggled(selected, capture.capture_id))
          }}
          onOpen={() => onOpen(capture.capture_id)}
        />
      ))}
    </div>
  )
}

function focusOn(list: HTMLElement | null, at: number): void {
  const option = list?.children[at] as HTMLElement | undefined
  option?.focus()
  option?.scrollIntoView({ block: 'nearest' })
}

interface ThumbnailProps extends Shown {
  readonly isSelected: boolean
  readonly isCurrent: boolean
  readonly onClick: () => void
  readonly onOpen: () => void
}

function Thumbnail({ capture, reason, isSelected, isCurrent, onClick, onOpen }: ThumbnailProps) {
  const [isMissing, setMissing] = useState(false)
  const finding = capture.verdict ?? capture.pseudo_mask
  const deferred = deferredBy(capture)
  const decision = finding && (finding.score >= finding.threshold ? 'reject' : 'pass')
  const marks = finding?.mask_uri ? `url(${maskAt({ ...capture, mask_uri: finding.mask_uri })})` : null
  return (
    // the keys are those of the list
    // biome-ignore lint/a11y/useKeyWithClickEvents: see above
    <div
      role="option"
      aria-selected={isSelected}
      tabIndex={isCurrent ? 0 : -1}
      className="thumbnail"
      data-capture={capture.capture_id}
      onClick={onClick}
      onDoubleClick={onOpen}
    >
      <span className="picture">
        {isMissing ? (
          <span className="quiet">{text.queue.noThumbnail}</span>
        ) : (
          <img src={thumbnailAt(capture)} alt="" loading="lazy" onError={() => setMissing(true)} />
        )}
        {marks && !isMissing && <span className="shown-marks" style={{ maskImage: marks }} />}
      </span>
      <span className="facts">
        <strong className={decision ?? 'quiet'}>
          {decision ? text.review[decision] : text.queue.notJudged}
        </strong>{' '}
        {finding && text.queue.score(finding.score)}
      </span>
      {capture.answer && (
        <span className={`answer ${capture.answer.verdict}`}>
          {text.queue.answered(capture.answer.verdict, capture.answer.person)}
        </span>
      )}
      {deferred && (
        <span className="answer" title={deferred}>
          {deferred}
        </span>
      )}
      <span className="quiet reason" title={reason}>
        {reason || capture.serial}
      </span>
    </div>
  )
}
