/** The newest commands of a product, and what the stages did about them. */

import type { UseQueryResult } from '@tanstack/react-query'
import type { Command } from '../api/weights'
import { text } from '../text'
import { moment, short } from './moments'

const SHOWN = 5

interface Props {
  readonly list: UseQueryResult<readonly Command[]>
  readonly product: string
}

export function CommandList({ list, product }: Props) {
  const commands = (list.data ?? []).filter((one) => one.product === product).slice(0, SHOWN)
  return (
    <section>
      <h2>{text.weights.commands.heading}</h2>
      {list.isError && <p role="alert">{list.error.message}</p>}
      {list.isSuccess && commands.length === 0 && <p className="quiet">{text.weights.commands.none}</p>}
      <ul className="commands" aria-live="polite">
        {commands.map((command) => (
          <li key={command.command_id} data-fate={command.fate ?? 'waits'}>
            <strong>{text.weights.commands.kinds[command.kind]}</strong>{' '}
            {command.weights && <code>{text.weights.commands.to(short(command.weights))}</code>}{' '}
            <span className={command.fate === 'refused' ? 'reject' : command.fate ? 'pass' : 'waits'}>
              {command.fate
                ? text.weights.commands.fates[command.fate]
                : text.weights.commands.waits(command.stage)}
            </span>
            {command.detail && <>: {command.detail}</>}{' '}
            <span className="quiet">
              {moment(command.given_at)}, {text.weights.commands.by(command.by, command.reason)}
            </span>
          </li>
        ))}
      </ul>
    </section>
  )
}
