/** What to export: format and filters, with what fits and what is left out. */

import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { readLines } from '../api/client'
import { countExport, exportAt, FORMATS, type Format } from '../api/data'
import { FilterBar } from '../queue/FilterBar'
import { DEFAULT, type Filters, queryOf } from '../queue/filters'
import { text } from '../text'

/** Every capture; an export has no order. */
const ALL: Filters = { ...DEFAULT, state: '', order: 'newest' }

export function ExportSection({ line }: { line: string }) {
  const [format, setFormat] = useState<Format>('coco')
  const [filters, setFilters] = useState(ALL)
  const { order, ...filtered } = queryOf(filters)
  const query = { ...filtered, format }
  const lines = useQuery({ queryKey: ['lines'], queryFn: readLines })
  const known = lines.data?.find((one) => one.line === line)
  const count = useQuery({
    queryKey: ['export', line, query],
    queryFn: ({ signal }) => countExport(line, query, signal),
  })
  const found = count.data
  const leftOut = Object.entries(found?.left_out ?? {})
  return (
    <section aria-labelledby="export">
      <h2 id="export">{text.data.export}</h2>
      <label className="format">
        {text.data.format}{' '}
        <select value={format} onChange={(event) => setFormat(event.target.value as Format)}>
          {FORMATS.map((one) => (
            <option key={one} value={one}>
              {text.data.formats[one]}
            </option>
          ))}
        </select>
      </label>
      <FilterBar
        filters={filters}
        products={known ? [known.product] : []}
        classes={known?.classes ?? []}
        onChange={setFilters}
      />
      <div role="status">
        {count.isPending && <p className="quiet">{text.data.counting}</p>}
        {found && (
          <p>
            {found.captures === 0
              ? text.data.nothing
              : text.data.count(
                  found.captures,
                  found.normals,
                  megabytes(found.image_bytes),
                  found.is_complete,
                )}
          </p>
        )}
        {leftOut.length > 0 && (
          <p className="quiet">
            {text.data.leftOut}{' '}
            {leftOut.map(([reason, number]) => `${number} ${text.data.reasons[reason] ?? reason}`).join(', ')}
          </p>
        )}
      </div>
      {count.isError && <p role="alert">{count.error.message}</p>}
      {found && found.captures > 0 && (
        <p>
          <a className="button main" href={exportAt(line, query)} download={`${line}-${format}.zip`}>
            {text.data.download}
          </a>{' '}
          <span className="quiet">{text.data.copies}</span>
        </p>
      )}
    </section>
  )
}

function megabytes(bytes: number): string {
  return Math.max(0.1, bytes / 1e6).toLocaleString('en', { maximumFractionDigits: bytes < 1e7 ? 1 : 0 })
}
