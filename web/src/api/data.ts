/** Exports and imports of a line. */

import { json } from './client'

export const FORMATS = ['coco', 'voc', 'yolo', 'png', 'mvtec', 'all'] as const
export type Format = (typeof FORMATS)[number]

export interface ExportCount {
  readonly captures: number
  readonly normals: number
  readonly image_bytes: number
  readonly is_complete: boolean
  readonly left_out: Readonly<Record<string, number>>
}

export interface ImportReport {
  readonly format: string
  readonly is_check: boolean
  readonly images: number
  readonly normals: number
  readonly new_images: number
  readonly answers: number
  readonly unchanged: number
  readonly kept: number
  readonly unanswered: number
  readonly problem_count: number
  readonly problems: readonly { readonly file: string; readonly detail: string }[]
  readonly warnings: readonly string[]
}

export async function countExport(
  line: string,
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<ExportCount> {
  return json(`/v1/lines/${line}/export/count?${new URLSearchParams(query)}`, { signal })
}

export function exportAt(line: string, query: Readonly<Record<string, string>>): string {
  return `/v1/lines/${line}/export?${new URLSearchParams(query)}`
}

export async function importArchive(line: string, archive: File, check: boolean): Promise<ImportReport> {
  const headers = { 'Content-Type': 'application/zip' }
  return json(`/v1/lines/${line}/import?check=${check}`, { method: 'POST', headers, body: archive })
}
