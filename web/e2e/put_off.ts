/**
 * Captures put off: by a digit and by words, gone from the review also after a reload, shown with the reason in the queue.
 *
 * node put_off.ts CONSOLE CHROMIUM LINE [FOLDER]; prints the two captures as JSON; pictures go into FOLDER.
 */

import { axeFaults, expectEqual, placeOf, visit } from './browser.ts'

const [console_, chromium, line, folder] = process.argv.slice(2) as [string, string, string, string?]

const { browser, page, faults } = await visit(console_, chromium)
const said = (what: string) => page.getByRole('status').getByText(what).waitFor()
const shown = async () => {
  await placeOf(page)
  return page.locator('main.review').getAttribute('data-capture')
}
const next = async (before: string | null) => {
  await page.waitForFunction(
    (id) => document.querySelector('main.review')?.getAttribute('data-capture') !== id,
    before,
  )
  return shown()
}
const picture = async (name: string) => {
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` })
}
try {
  await page.getByRole('link', { name: line }).click()
  const first = await shown()
  await page.keyboard.press('Shift+N')
  await page.getByRole('heading', { name: 'Put off: why?' }).waitFor()
  faults.push(...(await axeFaults(page)))
  await picture('put-off')
  await page.keyboard.press('Escape') // given up: nothing is stored
  expectEqual('after Esc', await shown(), first)
  await page.keyboard.press('Shift+N')
  await page.keyboard.press('1')
  await said('Put off until')
  const second = await next(first)
  await page.keyboard.press('p')
  expectEqual('previous', await next(second), first)
  await page.keyboard.press('n')
  expectEqual('skipped again', await next(first), second)

  await page.keyboard.press('Shift+N')
  await page.getByLabel('Another reason').fill('glare on the rim')
  await page.keyboard.press('Enter')
  await said('Put off until')
  const third = await next(second)
  await page.reload()
  expectEqual('after a reload', await shown(), third)

  await page.goto(`${console_}/#/`)
  await page.locator('li', { hasText: line }).getByRole('link', { name: 'Queue' }).click()
  const options = page.locator('.thumbnail')
  await options.nth(2).waitFor()
  await page.getByLabel('Put off').selectOption('true')
  await page.waitForURL(/deferred=true/)
  await page.getByText('Put off by ann: glare on the rim').waitFor()
  await page.getByText('Put off by ann: The image is unclear').waitFor()
  expectEqual('put off', await options.count(), 2)
  faults.push(...(await axeFaults(page)))
  await picture('put-off-queue')
  expectEqual('faults', faults, [])
  process.stdout.write(JSON.stringify({ captures: [first, second] }))
} finally {
  await browser.close()
}
