/**
 * First correction in the page: delete, grow, cut, draw, undo, redo, reload, store.
 *
 * node first_correction.ts CONSOLE CHROMIUM LINE; prints what it drew as JSON, which pytest draws again by the same
 * rules.
 */

import { axeFaults, drag, expectEqual, placeOf, point, visit } from './browser.ts'

const [console_, chromium, line] = process.argv.slice(2) as [string, string, string]
const GROW = [
  [30, 20],
  [38, 24],
  [38, 30],
] as const
const CUT = [
  [20, 40],
  [34, 26],
] as const
const DRAW = [
  [50, 10],
  [54, 14],
  [49, 17],
] as const

const { browser, page, faults } = await visit(console_, chromium)
try {
  faults.push(...(await axeFaults(page)))
  await page.getByRole('link', { name: line }).click()
  const marks = page.locator('.marks li')
  let place = await placeOf(page)
  expectEqual('marks at first', await marks.count(), 2)
  faults.push(...(await axeFaults(page)))

  await page.getByRole('slider', { name: 'Brush size in pixels' }).fill('5')
  await page.locator('.surface').hover()
  await point(page, place, 7, 7)
  await page.keyboard.press('x')
  expectEqual('marks after X', await marks.count(), 1)
  await drag(page, place, GROW)
  await drag(page, place, CUT)
  await page.keyboard.down('Shift')
  await drag(page, place, DRAW)
  await page.keyboard.up('Shift')
  expectEqual('marks after drawing one', await marks.count(), 2)
  await page.keyboard.press('2') // class of the mark under the pointer
  await page.getByRole('button', { name: 'dent,' }).waitFor()
  await page.keyboard.press('Control+z')
  await page.keyboard.press('Control+z')
  expectEqual('marks after undo', await marks.count(), 1)
  await page.keyboard.press('Control+Shift+z')
  await page.keyboard.press('Control+Shift+z')
  expectEqual('marks after redo', await marks.count(), 2)

  await page.waitForTimeout(1000)
  await page.reload()
  place = await placeOf(page)
  expectEqual('marks after a reload', await marks.count(), 2)
  await page.getByText('Your draft of this capture is continued.').waitFor()

  await page.keyboard.press('Enter')
  await page.getByText('Stored: defect, revision 1').waitFor()
  expectEqual('faults', faults, [])
  process.stdout.write(
    // of the page since its reload: 0 and Enter
    JSON.stringify({ diameter: 5, grow: GROW, cut: CUT, draw: DRAW, keys: 2, presses: 0 }),
  )
} finally {
  await browser.close()
}
