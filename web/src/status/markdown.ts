/** The Markdown of runbooks as blocks: headings, paragraphs, lists, code and tables. */

export type Block =
  | { readonly kind: 'heading' | 'paragraph' | 'code'; readonly text: string }
  | { readonly kind: 'list'; readonly isOrdered: boolean; readonly items: readonly string[] }
  | { readonly kind: 'table'; readonly rows: readonly (readonly string[])[] }

const ITEM = /^(?:[-*]|\d+\.) +/

/** Read a text into blocks; what is no heading, list, code or table is a paragraph. */
export function blocksOf(text: string): Block[] {
  const blocks: Block[] = []
  const lines = text.split('\n')
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? ''
    const takeWhile = (fits: (next: string) => boolean) => {
      const taken = [line]
      while (at + 1 < lines.length && fits(lines[at + 1] ?? '')) taken.push(lines[++at] ?? '')
      return taken
    }
    if (line.trim() === '') continue
    if (line.startsWith('```')) {
      const code = takeWhile((next) => !next.startsWith('```')).slice(1)
      at++ // the closing fence
      blocks.push({ kind: 'code', text: code.join('\n') })
    } else if (/^#+ /.test(line)) {
      blocks.push({ kind: 'heading', text: line.replace(/^#+ +/, '') })
    } else if (line.startsWith('|')) {
      const rows = takeWhile((next) => next.startsWith('|')).filter((row) => !/^\|[\s:|-]+$/.test(row))
      blocks.push({ kind: 'table', rows: rows.map(cellsOf) })
    } else if (ITEM.test(line)) {
      const items: string[] = []
      for (const next of takeWhile((next) => ITEM.test(next) || /^ +\S/.test(next))) {
        if (ITEM.test(next)) items.push(next.replace(ITEM, ''))
        else items.push(`${items.pop() ?? ''} ${next.trim()}`)
      }
      blocks.push({ kind: 'list', isOrdered: /^\d/.test(line), items })
    } else {
      const taken = takeWhile((next) => next.trim() !== '' && !/^(#+ |```|\|)/.test(next) && !ITEM.test(next))
      blocks.push({ kind: 'paragraph', text: taken.join(' ') })
    }
  }
  return blocks
}

function cellsOf(row: string): string[] {
  return row
    .replace(/^\||\|\s*$/g, '')
    .split('|')
    .map((cell) => cell.trim())
}

export type Part =
  | { readonly kind: 'text' | 'code' | 'strong'; readonly text: string }
  | { readonly kind: 'link'; readonly text: string; readonly to: string }

const PART = /`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)]+)\)/g

/** Read the text of a block into its parts. */
export function partsOf(text: string): Part[] {
  const parts: Part[] = []
  let from = 0
  for (const match of text.matchAll(PART)) {
    if (match.index > from) parts.push({ kind: 'text', text: text.slice(from, match.index) })
    from = match.index + match[0].length
    const [, code, strong, label = '', to = ''] = match
    if (code !== undefined) parts.push({ kind: 'code', text: code })
    else if (strong !== undefined) parts.push({ kind: 'strong', text: strong })
    else parts.push({ kind: 'link', text: label, to })
  }
  if (from < text.length) parts.push({ kind: 'text', text: text.slice(from) })
  return parts
}
