/** The list of keys; each can be changed, and a conflict is named. */

import { useEffect, useRef, useState } from 'react'
import {
  type Bindings,
  COMMANDS,
  type Command,
  chordOf,
  DEFAULT_BINDINGS,
  labelOf,
  rebound,
} from '../annotator/keys'
import { text } from '../text'

interface Props {
  readonly bindings: Bindings
  /** Returns false where the browser can't keep them. */
  readonly onChange: (bindings: Bindings) => boolean
  readonly onClose: () => void
}

interface Refusal {
  readonly chord: string
  readonly by: Command | null
}

export function KeySheet({ bindings, onChange, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [asked, setAsked] = useState<Command | null>(null)
  const [refusal, setRefusal] = useState<Refusal | null>(null)
  const [isKept, setKept] = useState(true)
  useEffect(() => {
    dialog.current?.showModal()
  }, [])

  const give = (command: Command, chord: string, isForced = false) => {
    const result = rebound(bindings, command, chord, isForced)
    if (result.kind !== 'done') return setRefusal({ chord, by: result.kind === 'taken' ? result.by : null })
    setKept(onChange(result.bindings))
    setAsked(null)
    setRefusal(null)
  }
  const onKeyDown = (event: React.KeyboardEvent) => {
    if (asked === null || refusal?.by) return
    event.preventDefault()
    event.stopPropagation()
    if (event.key === 'Escape') return setAsked(null)
    const chord = chordOf(event)
    if (chord) give(asked, chord)
  }

  const shownKeys = (command: Command) => {
    if (asked === command) return text.keySheet.press
    return bindings[command].map(labelOf).join(', ') || text.keySheet.none
  }
  return (
    <dialog
      ref={dialog}
      onClose={onClose}
      onKeyDown={onKeyDown}
      // Escape gives up a question before it closes the sheet
      onCancel={(event) => asked !== null && event.preventDefault()}
      aria-label={text.keySheet.heading}
    >
      <h2>{text.keySheet.heading}</h2>
      {!isKept && <p role="alert">{text.keySheet.notKept}</p>}
      <table>
        <tbody>
          {COMMANDS.map((command) => ({ command, shown: shownKeys(command) })).map(({ command, shown }) => (
            <tr key={command}>
              <th scope="row">
                <button
                  type="button"
                  className="key"
                  disabled={command === 'cancel'}
                  aria-label={`${shown}: ${text.commands[command]}`}
                  onClick={() => {
                    setAsked(command)
                    setRefusal(null)
                  }}
                >
                  {asked === command ? shown : <kbd>{shown}</kbd>}
                </button>
              </th>
              <td>
                {text.commands[command]}
                {asked === command && refusal && (
                  <p
                    role="alert"
                    className="conflict"
                    ref={(shown) => shown?.scrollIntoView({ block: 'nearest' })}
                  >
                    {refusal.by
                      ? text.keySheet.taken(labelOf(refusal.chord), text.commands[refusal.by])
                      : text.keySheet.reserved(labelOf(refusal.chord))}{' '}
                    {refusal.by && (
                      <button type="button" onClick={() => give(command, refusal.chord, true)}>
                        {text.keySheet.take}
                      </button>
                    )}
                  </p>
                )}
              </td>
            </tr>
          ))}
          {text.fixedKeys.map(([key, what]) => (
            <tr key={key}>
              <th scope="row">
                <kbd>{key}</kbd>
              </th>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <form method="dialog">
        <button type="submit">{text.actions.close}</button>{' '}
        <button type="button" onClick={() => setKept(onChange(DEFAULT_BINDINGS))}>
          {text.keySheet.reset}
        </button>
      </form>
    </dialog>
  )
}
