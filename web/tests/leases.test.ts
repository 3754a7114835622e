import { describe, expect, it } from 'vitest'
import { Leases } from '../src/review/leases'

function recorded() {
  const calls: string[] = []
  const failing = (what: string) => async (capture: string) => {
    calls.push(`${what} ${capture}`)
    throw new Error('the console is away')
  }
  return { calls, leases: new Leases({ renew: failing('renew'), release: failing('release') }) }
}

describe('leases of the captures that are shown', () => {
  it('are renewed while the captures wait', () => {
    const { calls, leases } = recorded()
    leases.keep(['a', 'b'], ['a', 'b'])
    leases.renew()
    expect(calls).toEqual(['renew a', 'renew b'])
  })

  it('end once a capture is answered or skipped, also where the review names it again', () => {
    const { calls, leases } = recorded()
    leases.keep(['a', 'b'], ['a', 'b'])
    leases.keep(['b'], ['b'])
    leases.keep(['b'], ['a', 'b'])
    expect(calls).toEqual(['release a', 'release a'])
    leases.renew()
    expect(calls.at(-1)).toBe('renew b')
  })

  it('end with the page, once', () => {
    const { calls, leases } = recorded()
    leases.keep(['a'], ['a'])
    leases.end()
    leases.end()
    leases.renew()
    expect(calls).toEqual(['release a'])
  })
})
