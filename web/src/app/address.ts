/** Pages by their address: the part behind the # names the line, the page and its filters. */

const LINES = '#/lines/'
const QUEUE = '/queue'

export type Place =
  | { readonly page: 'lines' }
  | { readonly page: 'review'; readonly line: string }
  | { readonly page: 'queue'; readonly line: string; readonly search: string }

export function placeOf(hash: string): Place {
  if (!hash.startsWith(LINES)) return { page: 'lines' }
  const [path = '', search = ''] = hash.slice(LINES.length).split('?', 2)
  const isQueue = path.endsWith(QUEUE)
  const line = decoded(isQueue ? path.slice(0, -QUEUE.length) : path)
  if (line === '') return { page: 'lines' }
  return isQueue ? { page: 'queue', line, search } : { page: 'review', line }
}

export function reviewAt(line: string): string {
  return LINES + encodeURIComponent(line)
}

export function queueAt(line: string, search = ''): string {
  return `${reviewAt(line)}${QUEUE}${search && `?${search}`}`
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return '' // an address that was cut
  }
}
