/** An address that is none of the page, and where to go instead. */

import { text } from '../text'
import { statusAt } from './address'

export function NoSuchPage({ address }: { address: string }) {
  return (
    <main className="centred">
      <h1>{text.noPage.heading}</h1>
      <p>{text.noPage.text(address)}</p>
      <p>{text.noPage.links}</p>
      <ul>
        <li>
          <a href="/#/">{text.lines.heading}</a>
        </li>
        <li>
          <a href={`/${statusAt()}`}>{text.status.heading}</a>
        </li>
      </ul>
    </main>
  )
}
