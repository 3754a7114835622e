/** Kinds of defects of a line, each with the digit and the colour that it has in the annotator. */

import { useState } from 'react'
import { colourOf } from '../annotator/shapes'
import type { LineSettings, SettingsChange } from '../api/lines'
import { text } from '../text'

const texts = text.lines.settings.classes
const CLASSES_MAX = 9

interface Props {
  readonly settings: LineSettings
  /** Null: the person may look, and not change. */
  readonly onSave: ((change: SettingsChange) => void) | null
}

export function ClassesForm({ settings, onSave }: Props) {
  const saved = settings.classes ?? []
  // each row has a number of its own: two may have equal names while they are edited
  const [rows, setRows] = useState(saved.map((name, id) => ({ id, name })))
  const names = rows.map(({ name }) => name.trim())
  const isChanged = names.join() !== saved.join()
  return (
    <section>
      <h2>{texts.heading}</h2>
      <p className="quiet">{texts.means}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          onSave?.({ classes: names })
        }}
      >
        <ol className="kinds">
          {rows.map((row, index) => (
            <li key={row.id}>
              <svg className="swatch" viewBox="0 0 10 10" aria-hidden="true">
                <rect width="10" height="10" fill={colourOf(index + 1)} />
              </svg>
              <kbd>{index + 1}</kbd>
              <input
                value={row.name}
                required
                maxLength={40}
                disabled={!onSave}
                aria-label={texts.name(index + 1)}
                onChange={(event) =>
                  setRows(rows.map((one) => (one.id === row.id ? { ...one, name: event.target.value } : one)))
                }
              />
              {onSave && (
                <button
                  type="button"
                  aria-label={texts.remove(index + 1)}
                  onClick={() => setRows(rows.filter((one) => one.id !== row.id))}
                >
                  ×
                </button>
              )}
            </li>
          ))}
        </ol>
        {onSave && (
          <p className="buttons">
            <button
              type="button"
              disabled={rows.length >= CLASSES_MAX}
              onClick={() => setRows([...rows, { id: Date.now(), name: '' }])}
            >
              {texts.add}
            </button>
            <button type="submit" className="main" disabled={!isChanged}>
              {texts.save}
            </button>
          </p>
        )}
      </form>
    </section>
  )
}
