/** One capture: what was found, the annotator, and the answers. */

import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { AnnotatorView, type ViewCommands } from '../annotator/AnnotatorView'
import { Annotator } from '../annotator/annotator'
import { commandsOf } from '../annotator/commands'
import type { Command } from '../annotator/keys'
import { correct, type ReviewItem, type Session, type Verdict } from '../api/client'
import type { Deferral } from '../api/deferrals'
import { maskOf, withoutMarks } from '../mask/drawing'
import { encodePng } from '../mask/png'
import { withTheirs } from '../mask/versions'
import { text } from '../text'
import { readBindings, writeBindings } from './bindings'
import { Conflict } from './Conflict'
import type { LoadedCapture } from './capture'
import { type Draft, dropDraft, writeDraft } from './drafts'
import { Effort, followEffort } from './effort'
import { KeySheet } from './KeySheet'
import { PutOff } from './PutOff'
import type { Done } from './ReviewPage'
import { StoreFailure } from './StoreFailure'
import { readSettings, writeSettings } from './settings'
import { Action, Tools } from './Tools'
import { useGoodPart } from './useGoodPart'
import { useKeys } from './useKeys'
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
  onStored: (done: Done, said: Verdict) => void
  onSkip: () => void
  onPutOff: (deferral: Deferral) => void
  onPrevious: () => void
}

export function CaptureReview(props: Props) {
  const { item, capture, draft, session, classes, progress, message } = props
  const { onStored, onSkip, onPutOff, onPrevious } = props
  const [annotator] = useState(() => {
    const { width, height } = capture.drawing
    const isFitting = draft?.history.present.width === width && draft.history.present.height === height
    return isFitting
      ? new Annotator(draft.history, readSettings(), capture.scores, classes)
      : Annotator.of(capture.drawing, readSettings(), capture.scores, classes)
  })
  const [revision, setRevision] = useState(props.revision)
  const [effort] = useState(() => new Effort(performance.now()))
  const { history, hint, tool, diameter } = useSyncExternalStore(annotator.subscribe, annotator.getState)
  const [isHidden, setHidden] = useState(false)
  const [isHeatShown, setHeatShown] = useState(false)
  const [goodPart, toggleGoodPart] = useGoodPart(item, annotator)
  const [isSheetOpen, setSheetOpen] = useState(false)
  const [isPuttingOff, setPuttingOff] = useState(false)
  const [bindings, setBindings] = useState(readBindings)
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
          objects: objectsOf(annotator.getState().history, verdict === 'good'),
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
    (command: Command): boolean => {
      if (command === 'accept' && annotator.live) {
        annotator.finishStroke()
        return true
      }
      const commands: Record<Command, () => unknown> = {
        ...commandsOf(annotator),
        accept,
        good: () => store('good'),
        unsure: () => store('unsure'),
        skip: onSkip,
        putOff: () => setPuttingOff(true),
        previous: onPrevious,
        scores: () => (capture.scores ? setHeatShown((is) => !is) : annotator.hint(text.hints.noScores)),
        goodPart: toggleGoodPart,
        hide: () => undefined,
        fit: () => view.current?.fit(),
        actualSize: () => view.current?.actualSize(),
        keys: () => setSheetOpen(true),
      }
      return commands[command]() !== false
    },
    [accept, store, onSkip, onPrevious, annotator, capture, toggleGoodPart],
  )
  const handlers = useMemo(
    () => ({ run, setHidden, onDigit: (digit: number) => annotator.setClass(digit) }),
    [run, annotator],
  )
  useKeys(handlers, bindings, isSheetOpen || isPuttingOff)
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
        <span className="quiet" title={item.reason}>
          {item.reason}
        </span>
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
        goodPart={goodPart}
        ref={view}
      >
        <Tools
          tool={tool}
          bindings={bindings}
          run={run}
          isHeatShown={isHeatShown}
          hasScores={capture.scores !== null}
          isGoodPartShown={goodPart !== null}
        />
      </AnnotatorView>
      <footer>
        <button type="button" className="main" disabled={storing !== null} onClick={accept}>
          {text.actions.accept(marks)} <kbd>Enter</kbd>
        </button>
        <Action command="good" label={text.actions.good} bindings={bindings} run={run} />
        <Action command="unsure" label={text.actions.unsure} bindings={bindings} run={run} />
        <Action command="skip" label={text.actions.skip} bindings={bindings} run={run} />
        <Action command="putOff" label={text.actions.putOff} bindings={bindings} run={run} />
        <Action command="previous" label={text.actions.previous} bindings={bindings} run={run} />
        <span className="status" role="status">
          {storing ? text.review.storing : hint || draftNote || message}
        </span>
      </footer>
      {failure && (
        <StoreFailure
          error={failure.error}
          onRetry={() => void store(failure.verdict)}
          onNext={() => {
            isDone.current = true
            void dropDraft(item.capture_id)
            onSkip()
          }}
        >
          <Conflict
            item={item}
            picture={capture.picture}
            drawing={failure.verdict === 'defect' ? history.present : withoutMarks(history.present)}
            onMine={(at) => void store(failure.verdict, at)}
            onTheirs={onSkip} // the drawing stays in this browser
            onMerge={(theirs, mask) => {
              setRevision(theirs.revision)
              annotator.apply((drawing) => withTheirs(drawing, mask, theirs.objects))
              annotator.hint(text.conflict.merged)
              setFailure(null)
            }}
          />
        </StoreFailure>
      )}
      {isPuttingOff && (
        <PutOff
          item={item}
          person={session.person}
          onPutOff={onPutOff}
          onClose={() => setPuttingOff(false)}
        />
      )}
      {isSheetOpen && (
        <KeySheet
          bindings={bindings}
          onChange={(next) => {
            setBindings(next)
            return writeBindings(next)
          }}
          onClose={() => setSheetOpen(false)}
        />
      )}
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
  const keptAt = useRef(0)
  useEffect(() => {
    if (history === first.current) return
    const keep = async () => {
      if (isDone.current) return
      keptAt.current = Date.now()
      const isKept = await writeDraft(item.capture_id, { history, maskUri: item.mask_uri })
      if (isDone.current) await dropDraft(item.capture_id) // it was stored meanwhile
      say(isKept ? '' : text.review.draftFailed)
    }
    // between two saves, however many changes come: a drawing under way is kept too
    const timer = setTimeout(keep, Math.max(0, keptAt.current + AUTOSAVE_MS - Date.now()))
    window.addEventListener('pagehide', keep)
    return () => {
      clearTimeout(timer)
      window.removeEventListener('pagehide', keep)
    }
  }, [item, history, isDone, say])
}
