/** Keys of the review: from events of the window to commands. */

import { useEffect } from 'react'
import { type Bindings, type Command, commandOf, digitOf } from '../annotator/keys'

export interface KeyHandlers {
  /** Act on a command. Returns false where the key is left to the browser. */
  readonly run: (command: Command) => boolean
  readonly onDigit: (digit: number) => void
  readonly setHidden: (is: boolean) => void
}

const ANSWERS: readonly Command[] = ['accept', 'good', 'unsure', 'skip', 'putOff', 'previous']
/** Keys that a focused slider, list or button has for itself. */
const OF_FOCUS = /^(Shift\+)?(Tab|Arrow.*)$/

/** Listen while nothing else, such as the sheet of keys, is open. */
export function useKeys({ run, onDigit, setHidden }: KeyHandlers, bindings: Bindings, isOff: boolean): void {
  useEffect(() => {
    if (isOff) return
    const ending = new AbortController()
    const onDown = (event: KeyboardEvent) => {
      if (isTyping(event) || document.querySelector('dialog[open]')) return
      if (event.code === 'Space' && !isOnControl()) return event.preventDefault()
      const digit = digitOf(event)
      if (digit > 0) return onDigit(digit)
      const command = commandOf(event, bindings)
      if (!command || (event.repeat && ANSWERS.includes(command))) return
      if (command === 'hide') return setHidden(true)
      if (isOnControl() && (OF_FOCUS.test(event.key) || command === 'accept')) return
      if (run(command)) event.preventDefault()
    }
    const onUp = (event: KeyboardEvent) => {
      // modifiers may have been released first
      if (commandOf({ ...pick(event), ctrlKey: false, shiftKey: false }, bindings) === 'hide')
        setHidden(false)
    }
    window.addEventListener('keydown', onDown, { signal: ending.signal })
    window.addEventListener('keyup', onUp, { signal: ending.signal })
    window.addEventListener('blur', () => setHidden(false), { signal: ending.signal })
    return () => ending.abort()
  }, [run, onDigit, setHidden, bindings, isOff])
}

function pick({ key, ctrlKey, metaKey, altKey, shiftKey }: KeyboardEvent) {
  return { key, ctrlKey, metaKey, altKey, shiftKey }
}

/** Whether the focus is on something that has keys of its own. */
function isOnControl(): boolean {
  return document.activeElement !== document.body && document.activeElement !== null
}

function isTyping(event: KeyboardEvent): boolean {
  const target = event.target
  return target instanceof HTMLInputElement && target.type !== 'range'
}
