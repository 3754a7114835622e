import { describe, expect, it } from 'vitest'
import { answeredNow } from '../src/review/progress'

describe('the count of answered captures', () => {
  it('grows with each answer, before the review is read again', () => {
    expect(answeredNow(11, ['a', 'b'], new Set())).toBe(11)
    expect(answeredNow(11, ['a', 'b'], new Set(['a']))).toBe(12)
  })

  it('counts an answer once when the review has been read again', () => {
    expect(answeredNow(12, ['b'], new Set(['a']))).toBe(12)
  })
})
