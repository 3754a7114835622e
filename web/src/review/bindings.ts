/** Keys as a person set them, kept in this browser: only those that differ from the default. */

import { type Bindings, COMMANDS, type Command, DEFAULT_BINDINGS } from '../annotator/keys'

const NAME = 'siad-keys'

export function readBindings(): Bindings {
  try {
    const known = JSON.parse(localStorage.getItem(NAME) ?? '{}')
    return withChanges(known)
  } catch {
    return DEFAULT_BINDINGS
  }
}

/** Keep them. Returns false where the browser can't. */
export function writeBindings(bindings: Bindings): boolean {
  try {
    localStorage.setItem(NAME, JSON.stringify(changesOf(bindings)))
    return true
  } catch {
    return false
  }
}

/** The default with what was kept; what is no list of keys of a command is left out. */
export function withChanges(kept: unknown): Bindings {
  const found: Partial<Record<Command, readonly string[]>> = {}
  if (typeof kept === 'object' && kept !== null) {
    for (const [name, keys] of Object.entries(kept)) {
      const isKeys = Array.isArray(keys) && keys.every((key) => typeof key === 'string')
      if (isKeys && COMMANDS.includes(name as Command)) found[name as Command] = keys
    }
  }
  return { ...DEFAULT_BINDINGS, ...found }
}

export function changesOf(bindings: Bindings): Partial<Record<Command, readonly string[]>> {
  return Object.fromEntries(
    COMMANDS.filter((command) => bindings[command].join() !== DEFAULT_BINDINGS[command].join()).map(
      (command) => [command, bindings[command]],
    ),
  )
}
