/**
 * Many captures at once: two called defects as marked, one of them good, and both undone, by keys alone.
 *
 * node queue.ts CONSOLE CHROMIUM LINE [FOLDER]; prints both captures as JSON; pictures of the pages go into FOLDER.
 */

import { axeFaults, expectEqual, placeOf, visit } from './browser.ts'

const [console_, chromium, line, folder] = process.argv.slice(2) as [string, string, string, string?]

const { browser, page, faults } = await visit(console_, chromium)
const options = page.locator('.thumbnail')
const said = (what: string) => page.getByRole('status').getByText(what).waitFor()
const picture = async (name: string) => {
  if (!folder) return
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.waitForTimeout(300)
    await page.screenshot({ path: `${folder}/${name}-${colorScheme}.png` })
  }
}
try {
  await page.locator('li', { hasText: line }).getByRole('link', { name: 'Queue' }).click()
  await options.first().waitFor()
  expectEqual('captures', await options.count(), 3)
  await page.locator('.reason', { hasText: 'drawn at random' }).first().waitFor()
  faults.push(...(await axeFaults(page)))
  const captures = await Promise.all(
    [0, 1].map((at) => options.nth(at).getAttribute('data-capture') as Promise<string>),
  )

  await page.keyboard.press('g')
  await said('Select captures first')
  await page.keyboard.press('Space')
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('Space')
  await picture('queue')
  await page.keyboard.press('a')
  await said('defect: 2 stored')
  await page.keyboard.press('Space') // the second has the focus
  await page.keyboard.press('g')
  await said('good: 1 stored')
  await options.nth(1).getByText('good, by ann').waitFor()
  await picture('answered')
  faults.push(...(await axeFaults(page)))
  await page.keyboard.press('Control+z')
  await said('1 answer undone')
  await page.keyboard.press('Control+z')
  await said('2 answers undone')

  // filters are part of the address, and survive a reload
  await page.getByLabel(/^State/).selectOption('skipped')
  await page.waitForURL(/state=skipped/)
  await page.reload()
  await options.first().waitFor()
  expectEqual('unsure captures', await options.count(), 2)
  await page.getByLabel(/^Answer/).selectOption('good')
  await page.getByText('No capture of this line fits').waitFor()
  faults.push(...(await axeFaults(page)))
  await picture('empty')
  await page.getByRole('link', { name: 'Without filters' }).click()
  await options.nth(2).waitFor()

  await options.last().focus()
  await page.keyboard.press('End')
  const opened = await options.last().getAttribute('data-capture')
  await page.keyboard.press('Enter')
  await placeOf(page)
  expectEqual('opened', await page.locator('main.review').getAttribute('data-capture'), opened)
  await picture('annotator')
  await page.keyboard.press('n') // behind the last one is the list again
  await options.last().waitFor()

  // away: what is shown stays, and the way back is named
  await page.route('**/corrections**', (route) => route.abort())
  await page.keyboard.press('Control+a')
  await page.keyboard.press('g')
  await said('3 not stored, still selected: the console does not answer')
  await picture('away')
  expectEqual('faults', faults, [])
  process.stdout.write(JSON.stringify({ captures }))
} finally {
  await browser.close()
}
