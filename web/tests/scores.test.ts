import { describe, expect, it } from 'vitest'
import { area, has } from '../src/mask/bitmap'
import { ScoreMap } from '../src/mask/scores'

/** A hill of 255 at (10, 10) that falls by 20 a pixel, in an image of 21x21 px. */
function hill(side = 21, image = side): ScoreMap {
  const pixels = new Uint8Array(side * side)
  const middle = (side - 1) / 2
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const value = Math.max(0, 255 - 20 * Math.max(Math.abs(x - middle), Math.abs(y - middle)))
      pixels[y * side + x] = value < 16 ? 0 : value
    }
  }
  return new ScoreMap({ width: side, height: side, pixels }, image, image)
}

describe('the map of scores', () => {
  it('sees from a click beside a peak what reaches a share of the peak', () => {
    const seen = hill().seenAt(8, 8, 3)
    expect([area(seen), has(seen, 10, 10)]).toEqual([121, true]) // 255 - 20 * 5 = 155 >= 153
    expect(area(hill().seenAt(10, 10, 0))).toBe(121)
  })
  it('sees nothing where nothing is', () => {
    const map = new ScoreMap({ width: 4, height: 4, pixels: new Uint8Array(16) }, 4, 4)
    expect(area(map.seenAt(1, 1, 2))).toBe(0)
  })
  it('moves a mark by its own threshold, a step at a time', () => {
    const map = hill()
    const mark = map.seenAt(10, 10, 0)
    const larger = map.resized(mark, 1)
    const smaller = map.resized(mark, -1)
    expect(larger && area(larger)).toBe(169)
    expect(smaller && area(smaller)).toBe(81)
  })
  it('says where a mark can grow or shrink no further', () => {
    const map = hill()
    let mark = map.seenAt(10, 10, 0)
    for (let next = map.resized(mark, 1); next; next = map.resized(mark, 1)) mark = next
    expect(area(mark)).toBe(21 * 21)
    expect(map.resized(mark, 1)).toBeNull()
    for (let next = map.resized(mark, -1); next; next = map.resized(mark, -1)) mark = next
    expect(area(mark)).toBe(1)
  })
  it('is smooth where it is smaller than the image', () => {
    const map = hill(21, 84)
    const seen = map.seenAt(42, 42, 0)
    expect(Math.abs(area(seen) - 121 * 16)).toBeLessThan(500)
    expect(map.at(40, 42)).toBeGreaterThan(map.at(36, 42))
  })
  it('floods a megapixel without recursion', () => {
    const pixels = new Uint8Array(1024 * 1024).fill(100)
    const map = new ScoreMap({ width: 1024, height: 1024, pixels }, 1024, 1024)
    expect(area(map.seenAt(1000, 1000, 0))).toBe(1024 * 1024)
  })
})
