/** One capture: what was found, the annotator, and the answers. */

import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { AnnotatorView, type ViewCommands } from '../annotator/AnnotatorView'
import { Annotator } from '../annotator/annotator'
import { type Command, commandOf, digitOf } from '../annotator/keys'
import { ApiError, correct, type ReviewItem, readRevision, type Session, type Verdict } from '../api/client'
import { KeySheet } from '../app/parts'
import { maskOf } from '../mask/drawing'
import { encodePng } from '../mask/png'
import { text } from '../text'
import type { LoadedCapture } from './capture'
import { type Draft, dropDraft, writeDraft } from './drafts'
import { Effort, followEffort } from './effort'
import type { Done } from './ReviewPage'
import { readSettings, writeSettings } from './settings'
import { objectsOf } from './work'

const AUTOSAVE_MS = 400

interface Props {
  item: ReviewItem
  capture: LoadedCapture
  draft: Draft | undefined
  session: Session
  classes: readonly string[]
  revision: number
  progress: string
  message: string
  onStored: (done: Done, said: string) => void
  onSkip: () => void
  onPrevious: () => void
}

export function CaptureReview(props: Props) {
  const { item, capture, draft, session, classes, revision, progress, message } = props
  const { onStored, onSkip, onPrevious } = props
  const [annotator] = useState(() => {
    const { width, height } = capture.drawing
    const isFitting = draft?.history.present.width === width && draft.history.present.height === height
    return isFitting
      ? new Annotator(draft.history, readSettings(), capture.scores, classes)
      : Annotator.of(capture.drawing, readSettings(), capture.scores, classes)
  })
  const [effort] = useState(() => new Effort(performance.now()))
  const { history, hint, tool, diameter } = useSyncExternalStore(annotator.subscribe, annotator.getState)
  const [isHidden, setHidden] = useState(false)
  const [isHeatShown, setHeatShown] = useState(false)
  const [isSheetOpen, setSheetOpen] = useState(false)
  const [storing, setStoring] = useState<Verdict | null>(null)
  const [failure, setFailure] = useState<{ error: Error; verdict: Verdict } | null>(null)
  const [draftNote, setDraftNote] = useState(draft ? text.review.draftFound : capture.note)
  const view = useRef<ViewCommands>(null)
  const isDone = useRef(false)
  const marks = history.present.marks.length

  useEffect(() => {
    writeSettings({ tool, diameter })
  }, [tool, diameter])
  useAutosave(item, history, isDone, setDraftNote)

  const store = useCallback(
    async (verdict: Verdict, atRevision = revision) => {
      if (isDone.current || storing) return
      setStoring(verdict)
      setFailure(null)
      try {
        const mask = verdict === 'defect' ? await encodePng(maskOf(annotator.drawing)) : null
        const work = {
          objects: objectsOf(annotator.getState().history),
          ...effort.figures(performance.now()),
        }
        const answer = { verdict, author: session.person, mask, revision: atRevision, work }
        const stored = await correct(item, answer)
        isDone.current = true
        await dropDraft(item.capture_id)
        onStored({ item, revision: stored }, verdict)
      } catch (error) {
        setFailure({ error: error as Error, verdict })
      } finally {
        setStoring(null)
      }
    },
    [annotator, effort, item, onStored, revision, session, storing],
  )
  const accept = useCallback(() => store(marks === 0 ? 'good' : 'defect'), [store, marks])

  const run = useCallback(
    (command: Command) => {
      const commands: Record<Command, () => unknown> = {
        accept,
        good: () => store('good'),
        unsure: () => store('unsure'),
        skip: onSkip,
        previous: onPrevious,
        remove: () => annotator.remove(),
        grow: () => annotator.resize(1),
        shrink: () => annotator.resize(-1),
        wand: () => annotator.wand(),
        scores: () => (capture.scores ? setHeatShown((is) => !is) : annotator.hint(text.hints.noScores)),
        fillHoles: () => annotator.fillHoles(),
        merge: () => annotator.merge(),
        brush: () => annotator.setTool('brush'),
        lasso: () => annotator.setTool('lasso'),
        smaller: () => annotator.stepDiameter(-1),
        larger: () => annotator.stepDiameter(1),
        undo: () => annotator.undo(),
        redo: () => annotator.redo(),
        nextMark: () => annotator.choose(1),
        previousMark: () => annotator.choose(-1),
        fit: () => view.current?.fit(),
        actualSize: () => view.current?.actualSize(),
        keys: () => setSheetOpen(true),
      }
      commands[command]()
    },
    [accept, store, onSkip, onPrevious, annotator, capture],
  )
  const onDigit = useCallback((digit: number) => annotator.setClass(digit), [annotator])
  useKeys(run, onDigit, setHidden, isSheetOpen)
  useEffect(() => {
    const ending = new AbortController()
    followEffort(effort, ending.signal)
    return () => ending.abort()
  }, [effort])

  return (
    <main className="review" data-capture={item.capture_id}>
      <header className="capture">
        <strong className={item.decision}>{text.review[item.decision]}</strong>
        <span>{text.review.score(item.score, item.threshold)}</span>
        <span className="quiet">{item.reason}</span>
        <span className="quiet">
          {item.product}
          {item.serial && `, ${text.review.serial(item.serial)}`},{' '}
          {new Date(item.captured_at).toLocaleString()}
        </span>
        <span className="progress">{progress}</span>
      </header>
      <AnnotatorView
        annotator={annotator}
        picture={capture.picture}
        isHidden={isHidden}
        isHeatShown={isHeatShown}
        ref={view}
      >
        <div className="tools">
          <Action command="brush" label={text.actions.brush} keyName="B" run={run} isOn={tool === 'brush'} />
          <Action command="lasso" label={text.actions.lasso} keyName="L" run={run} isOn={tool === 'lasso'} />
          <Action
            command="scores"
            label={text.actions.scores}
            keyName="S"
            run={run}
            isOn={isHeatShown}
            isOff={!capture.scores}
          />
          <Action command="undo" label={text.actions.undo} keyName="Ctrl+Z" run={run} />
          <Action command="redo" label={text.actions.redo} keyName="Ctrl+Y" run={run} />
          <Action command="fit" label={text.actions.fit} keyName="0" run={run} />
          <Action command="actualSize" label={text.actions.actual} keyName="A" run={run} />
          <Action command="keys" label={text.actions.keys} keyName="?" run={run} />
        </div>
      </AnnotatorView>
      <footer>
        <button type="button" className="main" disabled={storing !== null} onClick={accept}>
          {text.actions.accept(marks)} <kbd>Enter</kbd>
        </button>
        <Action command="good" label={text.actions.good} keyName="G" run={run} />
        <Action command="unsure" label={text.actions.unsure} keyName="U" run={run} />
        <Action command="skip" label={text.actions.skip} keyName="N" run={run} />
        <Action command="previous" label={text.actions.previous} keyName="P" run={run} />
        <span className="status" role="status">
          {storing ? text.review.storing : hint || draftNote || message}
        </span>
      </footer>
      {failure && (
        <StoreFailure
          error={failure.error}
          onRetry={() => void store(failure.verdict)}
          onMine={async () => store(failure.verdict, await readRevision(item))}
          onNext={() => {
            isDone.current = true
            void dropDraft(item.capture_id)
            onSkip()
          }}
        />
      )}
      {isSheetOpen && <KeySheet onClose={() => setSheetOpen(false)} />}
    </main>
  )
}

/** Keep the drawing in this browser, soon after every change. */
function useAutosave(
  item: ReviewItem,
  history: Draft['history'],
  isDone: { current: boolean },
  say: (note: string) => void,
): void {
  const first = useRef(history)
  useEffect(() => {
    if (history === first.current) return
    const timer = setTimeout(async () => {
      if (isDone.current) return
      const isKept = await writeDraft(item.capture_id, { history, maskUri: item.mask_uri })
      if (isDone.current) await dropDraft(item.capture_id) // it was stored meanwhile
      say(isKept ? '' : text.review.draftFailed)
    }, AUTOSAVE_MS)
    return () => clearTimeout(timer)
  }, [item, history, isDone, say])
}

function useKeys(
  run: (command: Command) => void,
  onDigit: (digit: number) => void,
  setHidden: (is: boolean) => void,
  isSheetOpen: boolean,
): void {
  useEffect(() => {
    const ending = new AbortController()
    const onDown = (event: KeyboardEvent) => {
      if (isSheetOpen || isTyping(event)) return
      if (event.key.toLowerCase() === 'h' && !event.ctrlKey && !event.metaKey) return setHidden(true)
      if (event.code === 'Space') return event.preventDefault()
      const digit = digitOf(event)
      if (digit > 0) return onDigit(digit)
      const isOnSurface = document.activeElement === document.body
      const command =
        event.key === 'Tab' && isOnSurface ? (event.shiftKey ? 'previousMark' : 'nextMark') : commandOf(event)
      if (!command || (event.repeat && ['accept', 'good', 'unsure', 'skip', 'previous'].includes(command)))
        return
      // a focused button has Enter for itself
      if (command === 'accept' && document.activeElement instanceof HTMLButtonElement) return
      event.preventDefault()
      run(command)
    }
    window.addEventListener('keydown', onDown, { signal: ending.signal })
    window.addEventListener(
      'keyup',
      (event) => {
        if (event.key.toLowerCase() === 'h') setHidden(false)
      },
      { signal: ending.signal },
    )
    window.addEventListener('blur', () => setHidden(false), { signal: ending.signal })
    return () => ending.abort()
  }, [run, onDigit, setHidden, isSheetOpen])
}

function isTyping(event: KeyboardEvent): boolean {
  const target = event.target
  return target instanceof HTMLInputElement && target.type !== 'range'
}

interface ActionProps {
  command: Command
  label: string
  keyName: string
  run: (command: Command) => void
  isOn?: boolean
  isOff?: boolean
}

function Action({ command, label, keyName, run, isOn, isOff = false }: ActionProps) {
  return (
    <button
      type="button"
      disabled={isOff}
      {...(isOn === undefined ? {} : { 'aria-pressed': isOn })}
      onClick={(event) => {
        run(command)
        event.currentTarget.blur() // so that the next Enter accepts
      }}
    >
      {label} <kbd>{keyName}</kbd>
    </button>
  )
}

interface FailureProps {
  error: Error
  onRetry: () => void
  onMine: () => void
  onNext: () => void
}

function StoreFailure({ error, onRetry, onMine, onNext }: FailureProps) {
  const status = error instanceof ApiError ? error.status : 0
  const isConflict = status === 412
  const isGone = status === 404 || status === 409 || status === 410
  return (
    <div className="failure" role="alert">
      <p>
        <strong>
          {isConflict ? text.review.conflict : isGone ? text.review.deleted : text.review.notStored}
        </strong>{' '}
        {error.message}
      </p>
      {isConflict && (
        <button type="button" onClick={onMine}>
          {text.review.storeMine}
        </button>
      )}
      {!isConflict && !isGone && (
        <button type="button" onClick={onRetry}>
          {text.retry}
        </button>
      )}
      {(isConflict || isGone) && (
        <button type="button" onClick={onNext}>
          {isConflict ? text.review.keepTheirs : text.review.next}
        </button>
      )}
    </div>
  )
}
