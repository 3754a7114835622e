/** The canvas, its list of marks and its settings. */

import {
  type ReactNode,
  type Ref,
  useEffect,
  useImperativeHandle,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react'
import { area } from '../mask/bitmap'
import { text } from '../text'
import type { Annotator } from './annotator'
import { Beside } from './Beside'
import { followPointer } from './pointer'
import { colourOf } from './shapes'
import { Stage } from './stage'

export interface ViewCommands {
  fit(): void
  actualSize(): void
}

interface Props {
  annotator: Annotator
  picture: ImageBitmap
  isHidden: boolean
  isHeatShown: boolean
  /** A good part to compare with; null: none is shown. */
  goodPart: ImageBitmap | null
  ref: Ref<ViewCommands>
  /** Tools, shown above the marks. */
  children: ReactNode
}

export function AnnotatorView({ annotator, picture, isHidden, isHeatShown, goodPart, ref, children }: Props) {
  const frame = useRef<HTMLDivElement>(null)
  const [stage, setStage] = useState<Stage | null>(null)
  const [opacity, setOpacity] = useState(0.4)
  const [contrast, setContrast] = useState(1)
  const { history, chosenId, diameter } = useSyncExternalStore(annotator.subscribe, annotator.getState)
  const drawing = history.present

  useEffect(() => {
    const element = frame.current
    if (!element) return
    const canvas = document.createElement('canvas')
    element.append(canvas)
    const made = new Stage(canvas)
    const watch = new ResizeObserver(() => made.resize(element.clientWidth, element.clientHeight))
    watch.observe(element)
    made.resize(element.clientWidth, element.clientHeight)
    setStage(made)
    return () => {
      watch.disconnect()
      void made.dispose().then(() => element.replaceChildren())
    }
  }, [])

  useEffect(() => {
    if (!stage) return
    const ending = new AbortController()
    stage.show(picture)
    followPointer(stage, annotator, ending.signal)
    return () => ending.abort()
  }, [stage, picture, annotator])

  useEffect(() => {
    stage?.draw(drawing, { chosenId, isHidden, opacity, contrast, colourNumber: annotator.colourNumber })
  }, [stage, drawing, chosenId, isHidden, opacity, contrast, annotator])

  useEffect(() => {
    stage?.showScores(isHeatShown ? annotator.scores : null)
  }, [stage, isHeatShown, annotator])

  useImperativeHandle(ref, () => ({
    fit: () => stage?.fit(),
    actualSize: () => stage?.actualSize(),
  }))

  return (
    <div className="annotator">
      <div
        className="surface"
        ref={frame}
        role="img"
        aria-label={text.marks.canvas}
        data-width={drawing.width}
        data-height={drawing.height}
      />
      {goodPart && <Beside stage={stage} picture={goodPart} />}
      <aside className="panel">
        {children}
        <h2>{text.marks.heading}</h2>
        {drawing.marks.length === 0 && <p className="quiet">{text.marks.none}</p>}
        <ul className="marks">
          {drawing.marks.map((mark) => (
            <li key={mark.id}>
              <button
                type="button"
                className="mark"
                aria-pressed={mark.id === chosenId}
                onClick={() => annotator.chooseMark(mark.id === chosenId ? null : mark.id)}
              >
                <svg className="swatch" viewBox="0 0 10 10" aria-hidden="true">
                  <rect width="10" height="10" fill={colourOf(annotator.colourNumber(mark))} />
                </svg>
                {text.marks.name(mark.id, mark.className ?? '', area(mark.bitmap), text.marks[mark.origin])}
              </button>
              <button
                type="button"
                className="icon"
                aria-label={`${text.actions.remove} ${mark.id}`}
                title={`${text.actions.remove} (X)`}
                onClick={() => annotator.remove(mark.id)}
              >
                ×
              </button>
            </li>
          ))}
        </ul>
        {annotator.classes.length > 0 && (
          <>
            <h2>{text.classes.heading}</h2>
            <ul className="classes">
              {annotator.classes.map((name, index) => (
                <li key={name}>
                  <button
                    type="button"
                    onClick={(event) => {
                      annotator.setClass(index + 1)
                      event.currentTarget.blur()
                    }}
                  >
                    <svg className="swatch" viewBox="0 0 10 10" aria-hidden="true">
                      <rect width="10" height="10" fill={colourOf(index + 1)} />
                    </svg>
                    {name} <kbd>{index + 1}</kbd>
                  </button>
                </li>
              ))}
            </ul>
          </>
        )}
        <Slider
          label={text.actions.size}
          value={diameter}
          range={[1, 200, 1]}
          onChange={(value) => annotator.setDiameter(value)}
        />
        <Slider label={text.actions.opacity} value={opacity} range={[0, 1, 0.05]} onChange={setOpacity} />
        <Slider label={text.actions.contrast} value={contrast} range={[0.5, 4, 0.1]} onChange={setContrast} />
      </aside>
    </div>
  )
}

interface SliderProps {
  label: string
  value: number
  range: [number, number, number]
  onChange: (value: number) => void
}

function Slider({ label, value, range: [min, max, step], onChange }: SliderProps) {
  return (
    <label className="slider">
      <span>{label}</span>
      <span>{Number(value.toFixed(2))}</span>
      <input
        type="range"
        min={min}
        max={Math.max(max, value)}
        step={step}
        value={value}
        onChange={(event) => onChange(event.target.valueAsNumber)}
        // keys stay with the annotator
        onPointerUp={(event) => event.currentTarget.blur()}
      />
    </label>
  )
}
