/** Buttons of the annotator; each shows its key. */

import { type Bindings, type Command, labelOf } from '../annotator/keys'
import { TOOLS, type Tool } from '../annotator/live'
import { text } from '../text'

interface ActionProps {
  command: Command
  label: string
  bindings: Bindings
  run: (command: Command) => unknown
  isOn?: boolean
  isOff?: boolean
}

export function Action({ command, label, bindings, run, isOn, isOff = false }: ActionProps) {
  const [key] = bindings[command]
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
      {label} {key && <kbd>{labelOf(key)}</kbd>}
    </button>
  )
}

interface Props {
  tool: Tool
  bindings: Bindings
  run: (command: Command) => unknown
  isHeatShown: boolean
  hasScores: boolean
  isGoodPartShown: boolean
}

const ON_MARKS = ['fillHoles', 'smooth', 'split', 'merge'] as const
const REST = ['undo', 'redo', 'fit', 'actualSize', 'keys'] as const

export function Tools({ tool, bindings, run, isHeatShown, hasScores, isGoodPartShown }: Props) {
  const shared = { bindings, run }
  return (
    <div className="tools">
      {TOOLS.map((one) => (
        <Action key={one} command={one} label={text.actions[one]} isOn={tool === one} {...shared} />
      ))}
      <Action
        command="scores"
        label={text.actions.scores}
        isOn={isHeatShown}
        isOff={!hasScores}
        {...shared}
      />
      <Action command="goodPart" label={text.actions.goodPart} isOn={isGoodPartShown} {...shared} />
      {ON_MARKS.map((one) => (
        <Action key={one} command={one} label={text.actions[one]} {...shared} />
      ))}
      {REST.map((one) => (
        <Action
          key={one}
          command={one}
          label={one === 'actualSize' ? text.actions.actual : text.actions[one]}
          {...shared}
        />
      ))}
    </div>
  )
}
