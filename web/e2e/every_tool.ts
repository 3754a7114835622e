/**
 * Shapes by pointer and by keys alone, the sheet of keys, and a key of one's own.
 *
 * node every_tool.ts CONSOLE CHROMIUM LINE; prints the shapes as JSON, which pytest draws again by the same rules.
 */

import { axeFaults, expectEqual, placeOf, visit } from './browser.ts'

const [console_, chromium, line] = process.argv.slice(2) as [string, string, string]
type Corners = readonly (readonly [number, number])[]
const RECTANGLE: Corners = [
  [3, 4],
  [14, 11],
]
const ELLIPSE: Corners = [
  [20, 3],
  [39, 14],
]
const POLYGON: Corners = [
  [45, 5],
  [60, 9],
  [50, 20],
  [48, 12],
]
/** Taken away again, from within nothing. */
const CUT: Corners = [
  [62, 0],
  [47, 10],
]

const { browser, page, faults } = await visit(console_, chromium)
const marks = page.locator('.marks li')
try {
  await page.getByRole('link', { name: line }).click()
  const place = await placeOf(page)
  const to = ([x, y]: readonly [number, number]) =>
    page.mouse.move(place.left + x * place.zoom, place.top + y * place.zoom)
  const drag = async (corners: Corners) => {
    await to(corners[0] as [number, number])
    await page.mouse.down()
    for (const corner of corners.slice(1)) await to(corner)
    await page.mouse.up()
  }

  // without the pointer: Tab walks the marks, X deletes the chosen one
  await page.keyboard.press('Tab')
  expectEqual(
    'chosen by Tab',
    await marks.first().getByRole('button').first().getAttribute('aria-pressed'),
    'true',
  )
  await page.keyboard.press('x')
  await page.keyboard.press('Tab')
  await page.keyboard.press('x')
  expectEqual('marks after two X', await marks.count(), 0)
  await page.keyboard.press('x')
  await page.getByText('No mark under the pointer and none chosen').waitFor()
  await page.keyboard.press('Tab')
  const focused = await page.evaluate(() => document.activeElement?.tagName)
  expectEqual('Tab goes on after the last mark', focused === 'BODY', false)
  await page.evaluate(() => (document.activeElement as HTMLElement).blur())

  await page.keyboard.down('Shift')
  await page.keyboard.press('t')
  await drag(RECTANGLE)
  await page.keyboard.press('e')
  await drag(ELLIPSE)
  await page.keyboard.press('o')
  for (const corner of POLYGON) {
    await to(corner)
    await page.mouse.down()
    await page.mouse.up()
  }
  await page.keyboard.up('Shift')
  await page.keyboard.press('Enter') // closes the polygon, and stores nothing
  expectEqual('marks drawn', await marks.count(), 3)
  await page.keyboard.press('t')
  await drag(CUT)
  await page.keyboard.press('b')

  // a brush of one pixel by keys: five pixels right of the pointer, down by one
  await page.mouse.move(0, 0)
  await page.getByRole('slider', { name: 'Brush size in pixels' }).fill('1')
  await page.evaluate(() => (document.activeElement as HTMLElement).blur())
  await to([10.5, 40.5])
  await page.keyboard.press('Shift+d')
  for (const key of ['ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowDown']) {
    await page.keyboard.press(key)
  }
  await page.keyboard.press('d')
  await page.keyboard.press('Control+ArrowDown')
  expectEqual('marks after keys', await marks.count(), 4)

  // a key of one's own: a conflict is named first
  await page.keyboard.press('?')
  faults.push(...(await axeFaults(page)))
  await page.getByRole('button', { name: 'G: nothing wrong here' }).click()
  await page.keyboard.press('x')
  await page.getByText('X has another use: delete the mark').waitFor()
  await page.getByRole('button', { name: 'Use it here instead' }).click()
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Nothing wrong here X' }).waitFor()
  await page.waitForTimeout(700)
  await page.reload()
  await page.getByRole('button', { name: 'Nothing wrong here X' }).waitFor()
  expectEqual('marks after a reload', await marks.count(), 4)

  await page.keyboard.press('Enter')
  await page.getByText('Stored: defect, revision 1').waitFor()
  expectEqual('faults', faults, [])
  process.stdout.write(JSON.stringify({ rectangle: RECTANGLE, ellipse: ELLIPSE, polygon: POLYGON, cut: CUT }))
} finally {
  await browser.close()
}
