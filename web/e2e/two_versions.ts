/**
 * Two people draw on one capture: the later one sees both versions, merges them, and stores.
 *
 * node two_versions.ts CONSOLE CHROMIUM LINE MASK [FOLDER]; MASK is what the other one drew; pictures go into FOLDER.
 */

import { readFile } from 'node:fs/promises'
import { axeFaults, drag, expectEqual, placeOf, visit } from './browser.ts'

const [console_, chromium, line, mask, folder] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string?,
]
const STROKE = [
  [40, 30],
  [50, 36],
] as const

const { browser, page, faults } = await visit(console_, chromium)
const picture = async (name: string) => {
  if (!folder) return
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.waitForTimeout(300)
    await page.screenshot({ path: `${folder}/${name}-${colorScheme}.png` })
  }
}
try {
  await page.getByRole('link', { name: line }).click()
  const place = await placeOf(page)
  await page.getByText(/captures answered\. [0-9.]+ min of work, \d+ until the next training/).waitFor()
  const beside = page.locator('.beside canvas')
  await page.keyboard.press('c')
  await page.getByText('Most alike of the line’s good parts').waitFor()
  await page.mouse.move(place.left + 10 * place.zoom, place.top + 10 * place.zoom)
  await page.mouse.wheel(0, -300)
  await page.waitForTimeout(300)
  // both show the same part of an image: the normal here has the same pixels
  const [left, right] = await Promise.all([samples('.surface canvas'), samples('.beside canvas')])
  const alike = right.filter((one, at) => one === left[at]).length
  expectEqual(`pixels beside, ${right} of ${left}`, alike >= 7, true) // a mark lies over some
  faults.push(...(await axeFaults(page)))
  await picture('beside')
  await page.keyboard.press('c')
  await beside.waitFor({ state: 'detached' })
  await page.keyboard.press('0')
  const capture = (await page.locator('main.review').getAttribute('data-capture')) ?? ''
  const other = await fetch(
    `${console_}/v1/lines/${line}/captures/${capture}/corrections?verdict=defect&author=bob`,
    { method: 'POST', headers: { 'Content-Type': 'image/png' }, body: await readFile(mask) },
  )
  expectEqual('status of the other answer', other.status, 201)

  await page.keyboard.down('Shift')
  await drag(page, place, STROKE)
  await page.keyboard.up('Shift')
  await page.keyboard.press('Enter')
  await page.getByText('bob answered defect (revision 1) while you drew.').waitFor()
  expectEqual('versions', await page.locator('.versions canvas').count(), 3)
  faults.push(...(await axeFaults(page)))
  await picture('versions')
  await page.getByRole('button', { name: 'Merge: add' }).click()
  await page.getByText('The other marks were added.').waitFor()
  expectEqual('marks', await page.locator('.marks li').count(), 4)
  await picture('merged')
  await page.keyboard.press('Enter')
  await page.getByText('Stored: defect, revision 2').waitFor()
  expectEqual('faults', faults, [])
  process.stdout.write(JSON.stringify({ capture }))
} finally {
  await browser.close()
}

/** Brightness of some places of a canvas, away from marks and grid lines. */
async function samples(selector: string): Promise<number[]> {
  return page
    .locator(selector)
    .first()
    .evaluate((canvas: HTMLCanvasElement) => {
      const ctx = canvas.getContext('2d')
      if (!ctx) return []
      return [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9].map((share) => {
        const [x, y] = [Math.round(canvas.width * 0.9), Math.round(canvas.height * share)]
        return (ctx.getImageData(x, y, 1, 1).data[0] ?? 0) >> 4
      })
    })
}
