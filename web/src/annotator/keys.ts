/** Keys of the annotator: which command each one is, and which a person gave it. */

export const COMMANDS = [
  'accept',
  'good',
  'unsure',
  'skip',
  'putOff',
  'previous',
  'remove',
  'grow',
  'shrink',
  'wand',
  'fillHoles',
  'smooth',
  'merge',
  'split',
  'brush',
  'lasso',
  'polygon',
  'rectangle',
  'ellipse',
  'smaller',
  'larger',
  'pen',
  'penNew',
  'cancel',
  'undo',
  'redo',
  'nextMark',
  'previousMark',
  'left',
  'right',
  'up',
  'down',
  'farLeft',
  'farRight',
  'farUp',
  'farDown',
  'nudgeLeft',
  'nudgeRight',
  'nudgeUp',
  'nudgeDown',
  'scores',
  'goodPart',
  'hide',
  'fit',
  'actualSize',
  'keys',
] as const
export type Command = (typeof COMMANDS)[number]

/** Keys of every command, as `chordOf` names them. */
export type Bindings = Readonly<Record<Command, readonly string[]>>

export const DEFAULT_BINDINGS: Bindings = {
  accept: ['Enter'],
  good: ['g'],
  unsure: ['u'],
  skip: ['n'],
  putOff: ['Shift+n'],
  previous: ['p'],
  remove: ['x', 'Delete', 'Backspace'],
  grow: [']'],
  shrink: ['['],
  wand: ['w'],
  fillHoles: ['f'],
  smooth: ['v'],
  merge: ['m'],
  split: ['k'],
  brush: ['b'],
  lasso: ['l'],
  polygon: ['o'],
  rectangle: ['t'],
  ellipse: ['e'],
  smaller: [','],
  larger: ['.'],
  pen: ['d'],
  penNew: ['Shift+d'],
  cancel: ['Escape'],
  undo: ['Ctrl+z'],
  redo: ['Ctrl+Shift+z', 'Ctrl+y'],
  nextMark: ['Tab'],
  previousMark: ['Shift+Tab'],
  left: ['ArrowLeft'],
  right: ['ArrowRight'],
  up: ['ArrowUp'],
  down: ['ArrowDown'],
  farLeft: ['Shift+ArrowLeft'],
  farRight: ['Shift+ArrowRight'],
  farUp: ['Shift+ArrowUp'],
  farDown: ['Shift+ArrowDown'],
  nudgeLeft: ['Ctrl+ArrowLeft'],
  nudgeRight: ['Ctrl+ArrowRight'],
  nudgeUp: ['Ctrl+ArrowUp'],
  nudgeDown: ['Ctrl+ArrowDown'],
  scores: ['s'],
  goodPart: ['c'],
  hide: ['h'],
  fit: ['0'],
  actualSize: ['a'],
  keys: ['?'],
}

/** What of a key event the choice takes. */
export interface KeyPress {
  readonly key: string
  readonly ctrlKey: boolean
  readonly metaKey: boolean
  readonly altKey: boolean
  readonly shiftKey: boolean
}

/**
 * Name of a key with its modifiers; empty for a modifier alone.
 *
 * Shift counts with letters and named keys. Of other signs it is part of the sign, such as of `?`.
 */
export function chordOf(press: KeyPress): string {
  if (['Control', 'Meta', 'Shift', 'Alt', 'AltGraph'].includes(press.key)) return ''
  const isSign = press.key.length === 1 && !/[a-z]/i.test(press.key)
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key
  const held = [
    press.ctrlKey || press.metaKey ? 'Ctrl+' : '',
    press.altKey ? 'Alt+' : '',
    press.shiftKey && !isSign ? 'Shift+' : '',
  ]
  return held.join('') + key
}

/** The command of a key; null for a key that is not ours. */
export function commandOf(press: KeyPress, bindings: Bindings = DEFAULT_BINDINGS): Command | null {
  const chord = chordOf(press)
  // a letter with Shift is the letter, where nothing else has it: Shift may be held to draw a new mark
  const plain = /^Shift\+[a-z]$/.test(chord) ? chord.slice(-1) : chord
  const find = (name: string) => COMMANDS.find((command) => bindings[command].includes(name))
  return find(chord) ?? find(plain) ?? null
}

/** The class that a key names: 1 to 9; 0 for another key. */
export function digitOf(press: KeyPress): number {
  const isPlain = !press.ctrlKey && !press.metaKey && !press.altKey
  return isPlain && /^[1-9]$/.test(press.key) ? Number(press.key) : 0
}

export type Rebinding =
  | { readonly kind: 'done'; readonly bindings: Bindings }
  | { readonly kind: 'taken'; readonly by: Command }
  | { readonly kind: 'reserved' }

/** Give a command another key, in place of its present ones. `isForced` takes it from the command that has it. */
export function rebound(bindings: Bindings, command: Command, chord: string, isForced = false): Rebinding {
  if (isReserved(chord)) return { kind: 'reserved' }
  const by = COMMANDS.find((other) => other !== command && bindings[other].includes(chord))
  if (by && !isForced) return { kind: 'taken', by }
  const without = by ? { ...bindings, [by]: bindings[by].filter((one) => one !== chord) } : bindings
  return { kind: 'done', bindings: { ...without, [command]: [chord] } }
}

/** Digits are classes, Space moves the image, Escape gives up, and browsers keep some keys for themselves. */
function isReserved(chord: string): boolean {
  return /^[1-9]$/.test(chord) || [' ', 'Escape', '', 'Ctrl+w', 'Ctrl+t', 'Ctrl+n'].includes(chord)
}

/** A key as people write it. */
export function labelOf(chord: string): string {
  const names: Record<string, string> = {
    ArrowLeft: '←',
    ArrowRight: '→',
    ArrowUp: '↑',
    ArrowDown: '↓',
    Escape: 'Esc',
  }
  const parts = chord.endsWith('+') ? [chord] : chord.split('+')
  return parts.map((part) => names[part] ?? (part.length === 1 ? part.toUpperCase() : part)).join('+')
}
