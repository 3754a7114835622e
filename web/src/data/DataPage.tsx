/** Captures and answers of a line, out to other tools and in from them. */

import './data.css'
import type { Session } from '../api/client'
import { configures } from '../weights/may'
import { ExportSection } from './ExportSection'
import { ImportSection } from './ImportSection'

export function DataPage({ line, session }: { line: string; session: Session }) {
  return (
    <main className="data">
      <ExportSection line={line} />
      <ImportSection line={line} mayImport={configures(session, line)} />
    </main>
  )
}
