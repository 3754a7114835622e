/** Keys of the annotator: which command each one is. */

export type Command =
  | 'accept'
  | 'good'
  | 'unsure'
  | 'skip'
  | 'previous'
  | 'remove'
  | 'grow'
  | 'shrink'
  | 'wand'
  | 'scores'
  | 'fillHoles'
  | 'merge'
  | 'brush'
  | 'lasso'
  | 'smaller'
  | 'larger'
  | 'undo'
  | 'redo'
  | 'nextMark'
  | 'previousMark'
  | 'fit'
  | 'actualSize'
  | 'keys'

const PLAIN: Readonly<Record<string, Command>> = {
  Enter: 'accept',
  g: 'good',
  u: 'unsure',
  n: 'skip',
  p: 'previous',
  x: 'remove',
  Delete: 'remove',
  Backspace: 'remove',
  ']': 'grow',
  '[': 'shrink',
  w: 'wand',
  s: 'scores',
  f: 'fillHoles',
  m: 'merge',
  b: 'brush',
  l: 'lasso',
  ',': 'smaller',
  '.': 'larger',
  '0': 'fit',
  a: 'actualSize',
  '?': 'keys',
}

/** What of a key event the choice takes. */
export interface KeyPress {
  readonly key: string
  readonly ctrlKey: boolean
  readonly metaKey: boolean
  readonly altKey: boolean
  readonly shiftKey: boolean
}

/** The class that a key names: 1 to 9; 0 for another key. */
export function digitOf(press: KeyPress): number {
  const isPlain = !press.ctrlKey && !press.metaKey && !press.altKey
  return isPlain && /^[1-9]$/.test(press.key) ? Number(press.key) : 0
}

/** The command of a key; null for a key that is not ours. */
export function commandOf(press: KeyPress): Command | null {
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key
  if (press.ctrlKey || press.metaKey) {
    if (key === 'z') return press.shiftKey ? 'redo' : 'undo'
    return key === 'y' ? 'redo' : null
  }
  if (press.altKey) return null
  return PLAIN[key] ?? null
}
