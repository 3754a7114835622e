/**
 * A person who watches a line, moves its budget, sees what would change, and names kinds of defects.
 *
 * node line_settings.ts CONSOLE CHROMIUM LINE [PICTURES]
 */

import { axeFaults, expectEqual, visit } from './browser.ts'

const [console_, chromium, line, pictures] = process.argv.slice(2) as [string, string, string, string?]

const { browser, page, faults } = await visit(console_, chromium)
const picture = async (name: string) => {
  if (!pictures) return
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.waitForTimeout(300)
    await page.screenshot({ path: `${pictures}/${name}-${colorScheme}.png` })
  }
}
const shown = page.locator('[data-threshold]')
/** The threshold of the preview, once it is that of the slider. */
const threshold = async () => {
  await page.locator('[data-threshold][data-stale="false"]').waitFor()
  return Number(await shown.getAttribute('data-threshold'))
}
try {
  page.setDefaultTimeout(20_000)
  const card = page.locator(`li[data-line="${line}"]`)
  await card.getByText('teacher judges since').waitFor()
  await card.locator('.newest li').first().waitFor()
  const verdicts = (await card.locator('.newest li').allTextContents()).length
  faults.push(...(await axeFaults(page)))
  await picture('lines')
  await card.getByRole('link', { name: 'Settings' }).click()

  const before = await threshold()
  const slider = page.getByLabel('Good parts that may be rejected')
  await slider.focus()
  for (let press = 0; press < 25; press++) await page.keyboard.press('ArrowRight')
  await page.waitForTimeout(500)
  const looser = await threshold()
  expectEqual('a larger budget lowers the threshold', looser < before, true)
  const changes = (await page.getByText(/Of the newest|None of the newest/).textContent()) ?? ''
  faults.push(...(await axeFaults(page)))
  await picture('settings')
  await page.getByRole('button', { name: 'Save the budget' }).click()
  await page.getByText('Saved. The labeler fits').waitFor()

  await page.getByRole('button', { name: 'Add a kind' }).click()
  await page.getByLabel('Kind 1', { exact: true }).fill('scratch')
  await page.getByRole('button', { name: 'Save the kinds' }).click()
  await page.getByText('Saved.').waitFor()

  await page.getByLabel('Product').fill('lid')
  await page.getByRole('button', { name: 'Change over' }).click()
  await page.getByText('The line makes lid now').waitFor()

  // another client changes the line behind the page
  const changed = await fetch(`${console_}/v1/lines/${line}/settings`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ deadline_s: 3 }),
  })
  expectEqual('changed by another client', changed.status, 200)
  await page.getByRole('button', { name: 'Add a kind' }).click()
  await page.getByLabel('Kind 2', { exact: true }).fill('dent')
  await page.getByRole('button', { name: 'Save the kinds' }).click()
  await page.getByText('changed meanwhile').waitFor()
  expectEqual('faults', faults, [])
  process.stdout.write(JSON.stringify({ verdicts, before, looser, changes }))
} finally {
  await browser.close()
}
