/** Pages by their address: the part behind the # names the line, the page and its filters. */

const LINES = '#/lines/'
const QUEUE = '/queue'
const WEIGHTS = '/weights'
const SETTINGS = '/settings'
const DATA = '/data'
const STATUS = '#/status'

/** Names that a line may have. */
const LINE = /^[a-z0-9-]{1,63}$/

export type Place =
  | { readonly page: 'lines' }
  | { readonly page: 'review'; readonly line: string }
  | { readonly page: 'queue'; readonly line: string; readonly search: string }
  | { readonly page: 'weights'; readonly line: string }
  | { readonly page: 'settings'; readonly line: string }
  | { readonly page: 'data'; readonly line: string }
  | { readonly page: 'status'; readonly search: string }
  | { readonly page: 'none' }

export function placeOf(hash: string): Place {
  const [address = '', search = ''] = hash.split('?', 2)
  if (['', '#', '#/', '#/lines', LINES].includes(address)) return { page: 'lines' }
  if (address === STATUS) return { page: 'status', search }
  if (!address.startsWith(LINES)) return { page: 'none' }
  const path = address.slice(LINES.length)
  const page = [QUEUE, WEIGHTS, SETTINGS, DATA].find((one) => path.endsWith(one)) ?? ''
  const line = decoded(page ? path.slice(0, -page.length) : path)
  if (!LINE.test(line)) return { page: 'none' }
  if (page === QUEUE) return { page: 'queue', line, search }
  if (page === DATA) return { page: 'data', line }
  if (page === SETTINGS) return { page: 'settings', line }
  return { page: page === WEIGHTS ? 'weights' : 'review', line }
}

export function reviewAt(line: string): string {
  return LINES + encodeURIComponent(line)
}

export function queueAt(line: string, search = ''): string {
  return `${reviewAt(line)}${QUEUE}${search && `?${search}`}`
}

export function weightsAt(line: string): string {
  return reviewAt(line) + WEIGHTS
}

export function settingsAt(line: string): string {
  return reviewAt(line) + SETTINGS
}

export function dataAt(line: string): string {
  return reviewAt(line) + DATA
}

export function statusAt(search = ''): string {
  return `${STATUS}${search && `?${search}`}`
}

export function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return '' // an address that was cut
  }
}
