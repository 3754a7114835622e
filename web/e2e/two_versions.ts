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
