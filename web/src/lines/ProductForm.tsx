/** Changes a line over to another product. */

import { useState } from 'react'
import type { LineSettings, SettingsChange } from '../api/lines'
import { text } from '../text'

const texts = text.lines.settings.product

interface Props {
  readonly settings: LineSettings
  readonly onSave: (change: SettingsChange) => void
}

export function ProductForm({ settings, onSave }: Props) {
  const [product, setProduct] = useState(settings.product)
  return (
    <section>
      <h2>{texts.heading}</h2>
      <p className="quiet">{texts.means}</p>
      <form
        className="product"
        onSubmit={(event) => {
          event.preventDefault()
          onSave({ product })
        }}
      >
        <label>
          {text.lines.newLine.product}
          <input
            value={product}
            required
            pattern="[a-z0-9\-]{1,63}"
            title={text.lines.newLine.rule}
            onChange={(event) => setProduct(event.target.value)}
          />
        </label>
        <button type="submit" className="main" disabled={product === settings.product}>
          {texts.save}
        </button>
      </form>
    </section>
  )
}
