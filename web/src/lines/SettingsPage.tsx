/** Settings of a line: its false-reject budget, its kinds of defects, and more good parts. */

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { ApiError, type Session } from '../api/client'
import { putSettings, readOverview, readSettings, type SettingsChange } from '../api/lines'
import { Failure, Loading } from '../app/parts'
import { text } from '../text'
import { configures } from '../weights/may'
import { BudgetForm } from './BudgetForm'
import { ClassesForm } from './ClassesForm'
import { DropImages, UploadReport } from './DropImages'
import { ProductForm } from './ProductForm'
import { useUpload } from './useUpload'
import './lines.css'

const texts = text.lines.settings
const CONFLICT = 412

interface Props {
  readonly line: string
  readonly session: Session
}

export function SettingsPage({ line, session }: Props) {
  const client = useQueryClient()
  const settings = useQuery({
    queryKey: ['settings', line],
    queryFn: ({ signal }) => readSettings(line, signal),
  })
  const overview = useQuery({ queryKey: ['overview'], queryFn: ({ signal }) => readOverview(signal) })
  const [said, setSaid] = useState('')
  const saving = useMutation({
    networkMode: 'always',
    mutationFn: (change: SettingsChange) => putSettings(line, settings.data?.revision ?? 0, change),
    onSuccess: (saved, change) => {
      client.setQueryData(['settings', line], saved)
      void client.invalidateQueries({ queryKey: ['lines'] })
      setSaid(saidOf(change))
    },
    onError: (error) => {
      if (error instanceof ApiError && error.status === CONFLICT) void settings.refetch()
    },
  })
  if (settings.isPending || overview.isPending) return <Loading />
  if (!settings.data)
    return <Failure error={settings.error as Error} onRetry={() => void settings.refetch()} />
  const isEngineer = configures(session, line)
  const onSave =
    isEngineer && overview.data?.may_change
      ? (change: SettingsChange) => {
          setSaid('')
          saving.mutate(change)
        }
      : null
  const isConflict = saving.error instanceof ApiError && saving.error.status === CONFLICT
  const { revision } = settings.data
  return (
    <main className="settings">
      {!isEngineer && <p className="quiet">{texts.onlyLooks}</p>}
      {isEngineer && !overview.data?.may_change && <p className="quiet">{texts.noIngest}</p>}
      <div role="status">
        {saving.isError && <p className="reject">{isConflict ? texts.conflict : saving.error.message}</p>}
        {said && <p className="pass">{said}</p>}
      </div>
      <BudgetForm key={`budget-${revision}`} settings={settings.data} onSave={onSave} />
      <ClassesForm key={`classes-${revision}`} settings={settings.data} onSave={onSave} />
      {onSave && <ProductForm key={`product-${revision}`} settings={settings.data} onSave={onSave} />}
      {onSave && <MoreNormals line={line} />}
    </main>
  )
}

function saidOf({ classes, product }: SettingsChange): string {
  if (product) return texts.product.saved(product)
  return classes ? texts.classes.saved : texts.budget.saved
}

function MoreNormals({ line }: { line: string }) {
  const client = useQueryClient()
  const upload = useUpload(() => void client.invalidateQueries({ queryKey: ['overview'] }))
  return (
    <section>
      <h2>{texts.normals.heading}</h2>
      <DropImages files={[]} onFiles={(files) => void upload.send(line, files)} />
      <UploadReport upload={upload} line={line} />
    </section>
  )
}
