/** What a person may do on a line; the console decides, the page only hides what it would refuse. */

import type { Session } from '../api/client'

/** Whether lines and weights may be changed. */
export function configures({ roles }: Pick<Session, 'roles'>, line: string): boolean {
  return ['*', line].some((place) => roles[place] === 'engineer' || roles[place] === 'admin')
}
