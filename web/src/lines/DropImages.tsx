/** A place to drop or choose images of good parts, and what became of them. */

import { useId, useState } from 'react'
import { text } from '../text'
import { joined } from './chosen'
import type { Upload } from './useUpload'

const texts = text.lines.drop

interface Props {
  readonly files: readonly File[]
  readonly onFiles: (files: readonly File[]) => void
}

export function DropImages({ files, onFiles }: Props) {
  const [isOver, setOver] = useState(false)
  const hint = useId()
  return (
    <label
      className="drop"
      data-over={isOver}
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault()
        setOver(false)
        onFiles(joined(files, [...event.dataTransfer.files]))
      }}
    >
      <span className="quiet" id={hint}>
        {files.length ? texts.chosen(files.length) : texts.hint}
      </span>
      <input
        type="file"
        multiple
        accept="image/*,.tif,.tiff,.bmp"
        aria-label={texts.label}
        aria-describedby={hint}
        onChange={(event) => onFiles(joined(files, [...(event.target.files ?? [])]))}
      />
    </label>
  )
}

export function UploadReport({ upload, line }: { upload: Upload; line: string }) {
  const { count, done, sent, refused } = upload
  return (
    <div role="status">
      {count > 0 && <p>{texts.sending(done, count)}</p>}
      {count === 0 && sent > 0 && <p className="pass">{texts.sent(sent)}</p>}
      {refused.length > 0 && (
        <>
          <p className="reject">{texts.refused(refused.length)}</p>
          <ul>
            {refused.map(({ file, why }) => (
              <li key={file.name}>{texts.of(file.name, why)}</li>
            ))}
          </ul>
          <button
            type="button"
            onClick={() =>
              void upload.send(
                line,
                refused.map(({ file }) => file),
              )
            }
          >
            {texts.again}
          </button>
        </>
      )}
    </div>
  )
}
