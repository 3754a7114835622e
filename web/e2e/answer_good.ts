/**
 * A person who calls every capture of a line good, a key each.
 *
 * node answer_good.ts CONSOLE CHROMIUM LINE COUNT
 */

import { expectEqual, placeOf, visit } from './browser.ts'

const [console_, chromium, line, count] = process.argv.slice(2) as [string, string, string, string]

const { browser, page, faults } = await visit(console_, chromium)
try {
  await page.getByRole('link', { name: line }).click()
  const answered = new Set<string>()
  for (let number = 1; number <= Number(count); number++) {
    await placeOf(page)
    const capture = (await page.locator('main.review').getAttribute('data-capture')) ?? ''
    expectEqual('captures shown twice', answered.has(capture), false)
    expectEqual('the machine marked it', (await page.locator('.marks li').count()) > 0, true)
    answered.add(capture)
    await page.keyboard.press('g')
    await page.locator(`main.review[data-capture="${capture}"]`).waitFor({ state: 'detached' })
  }
  await page.getByText(`${count} of ${count} captures answered`).waitFor()
  expectEqual('faults', faults, [])
  process.stdout.write(JSON.stringify({ answered: [...answered] }))
} finally {
  await browser.close()
}
