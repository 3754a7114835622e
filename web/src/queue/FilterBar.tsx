/** Which captures are shown; every choice is part of the address. */

import { useEffect, useState } from 'react'
import { text } from '../text'
import { CHOICES, type Filters } from './filters'

interface Props {
  readonly filters: Filters
  readonly products: readonly string[]
  readonly classes: readonly string[]
  readonly onChange: (filters: Filters) => void
}

export function FilterBar({ filters, products, classes, onChange }: Props) {
  const set = (name: keyof Filters) => (value: string) => onChange({ ...filters, [name]: value })
  const choice = (name: keyof Filters, values: readonly string[], isOptional = true) => (
    <Choice name={name} value={filters[name]} values={values} isOptional={isOptional} onChange={set(name)} />
  )
  return (
    <search className="filters">
      {choice('state', CHOICES.state)}
      {choice('decision', CHOICES.decision)}
      {choice('deferred', CHOICES.deferred)}
      {choice('verdict', CHOICES.verdict)}
      {choice('product', products)}
      {choice('class', classes)}
      <Score name="score_min" value={filters.score_min} onChange={set('score_min')} />
      <Score name="score_max" value={filters.score_max} onChange={set('score_max')} />
      {choice('order', CHOICES.order, false)}
    </search>
  )
}

interface ChoiceProps {
  readonly name: keyof Filters
  readonly value: string
  readonly values: readonly string[]
  readonly isOptional: boolean
  readonly onChange: (value: string) => void
}

function Choice({ name, value, values, isOptional, onChange }: ChoiceProps) {
  const named: Readonly<Record<string, string>> =
    name === 'product' || name === 'class' ? {} : text.queue.values
  // an address may name what this line has no longer
  const all = value === '' || values.includes(value) ? values : [...values, value]
  return (
    <label>
      {text.queue.filters[name]}{' '}
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        {isOptional && <option value="">{text.queue.any}</option>}
        {all.map((one) => (
          <option key={one} value={one}>
            {named[one] ?? one}
          </option>
        ))}
      </select>
    </label>
  )
}

interface ScoreProps {
  readonly name: 'score_min' | 'score_max'
  readonly value: string
  readonly onChange: (value: string) => void
}

/** A number that counts once it is complete: by Enter, or when the focus leaves. */
function Score({ name, value, onChange }: ScoreProps) {
  const [typed, setTyped] = useState(value)
  useEffect(() => setTyped(value), [value])
  const finish = () => {
    if (typed !== value) onChange(typed)
  }
  return (
    <label>
      {text.queue.filters[name]}{' '}
      <input
        type="number"
        step="any"
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
        onBlur={finish}
        onKeyDown={(event) => event.key === 'Enter' && finish()}
      />
    </label>
  )
}
