/** Registers a line and sends the good parts that its first teacher is fitted on. */

import { useState } from 'react'
import { ApiError } from '../api/client'
import { putSettings } from '../api/lines'
import { text } from '../text'
import { DropImages, UploadReport } from './DropImages'
import { useUpload } from './useUpload'

const texts = text.lines.newLine
const SLUG = '[a-z0-9\\-]{1,63}'
const CONFLICT = 412

interface Props {
  readonly known: readonly string[]
  readonly onSent: () => void
}

export function NewLine({ known, onSent }: Props) {
  const [line, setLine] = useState('')
  const [product, setProduct] = useState('')
  const [files, setFiles] = useState<readonly File[]>([])
  const [registered, setRegistered] = useState('')
  const [error, setError] = useState('')
  const upload = useUpload(onSent)
  const isBusy = upload.count > 0

  const register = async () => {
    setError('')
    if (known.includes(line) && line !== registered) return setError(texts.taken(line))
    try {
      if (line !== registered) await putSettings(line, 0, { product })
    } catch (failure) {
      const isTaken = failure instanceof ApiError && failure.status === CONFLICT
      return setError(isTaken ? texts.taken(line) : (failure as Error).message)
    }
    setRegistered(line)
    onSent()
    const chosen = files
    setFiles([])
    await upload.send(line, chosen)
  }
  return (
    <section className="new-line">
      <h2>{texts.heading}</h2>
      <p className="quiet">{texts.how}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void register()
        }}
      >
        <label>
          {texts.name}
          <input
            value={line}
            required
            pattern={SLUG}
            title={texts.rule}
            onChange={(event) => setLine(event.target.value)}
          />
        </label>
        <label>
          {texts.product}
          <input
            value={product}
            required
            pattern={SLUG}
            title={texts.rule}
            onChange={(event) => setProduct(event.target.value)}
          />
        </label>
        <DropImages key={upload.sent} files={files} onFiles={setFiles} />
        <button type="submit" className="main" disabled={isBusy}>
          {texts.register}
        </button>
      </form>
      {error && (
        <p role="alert" className="reject">
          {error}
        </p>
      )}
      {registered && <p className="pass">{texts.registered(registered)}</p>}
      <UploadReport upload={upload} line={registered} />
    </section>
  )
}
