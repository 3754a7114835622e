/**
 * A person who looks at weights, holds the learning, asks for a run, rolls back, and returns.
 *
 * node weights.ts CONSOLE CHROMIUM LINE REFUSAL [FOLDER]; prints what was shown as JSON; pictures go into FOLDER.
 */

import { axeFaults, expectEqual, visit } from './browser.ts'

const [console_, chromium, line, refusal, folder] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string?,
]

const { browser, page, faults } = await visit(console_, chromium)
const commands = page.locator('.commands li')
const judges: string[] = []
const noteJudge = async () => {
  judges.push((await page.locator('tr[data-state="judges"]').getAttribute('data-weights')) ?? '')
}
const picture = async (name: string) => {
  if (!folder) return
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.waitForTimeout(300)
    await page.screenshot({ path: `${folder}/${name}-${colorScheme}.png` })
  }
}
/** Give a command by keys alone, and wait for what the stage says. */
const give = async (button: string, reason: string, fate: string, count: number) => {
  await page.getByRole('button', { name: button, exact: true }).first().focus()
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor()
  if (count === 1) faults.push(...(await axeFaults(page)))
  await page.getByLabel('Reason').fill(reason)
  if (count === 1) await picture('dialog')
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await page.locator(`.commands li[data-fate="${fate}"]`, { hasText: reason }).waitFor({ timeout: 30_000 })
  expectEqual('commands', await commands.count(), count)
}
try {
  page.setDefaultTimeout(20_000)
  await page.goto(`${console_}/#/lines/${line}/weights`)
  await page.locator('tr[data-state="judges"]').waitFor()
  await page.locator('tr[data-state="refused"] .why', { hasText: refusal }).waitFor()
  await page.locator('.differences li').first().waitFor()
  const differences = await page.locator('.differences li').count()
  faults.push(...(await axeFaults(page)))
  await noteJudge()
  const listed = await page
    .locator('tr[data-weights]')
    .evaluateAll((rows) => rows.map((row) => row.getAttribute('data-weights')))
  expectEqual('differs shown', await page.locator('.differences .shown-marks').count(), differences)

  await page.getByRole('button', { name: 'Roll back' }).click()
  await page.keyboard.press('Escape')
  expectEqual('a cancelled command', await commands.count(), 0)

  await give('Hold learning', 'new lamp', 'done', 1)
  await page.getByText('ann holds it').first().waitFor()
  await give('Train now', 'try', 'refused', 2)
  await picture('weights')
  await page.locator('.differences').scrollIntoViewIfNeeded()
  await page.locator('.differences img').last().scrollIntoViewIfNeeded()
  await picture('differences')
  await give('Resume learning', 'lamp is set', 'done', 3)
  await page.getByText('Learning goes on').waitFor()
  await give('Roll back', 'too many rejects', 'done', 4)
  await page.locator(`tr[data-weights="${judges[0]}"][data-state="left by a rollback"]`).waitFor()
  await noteJudge()
  await page.locator(`tr[data-weights="${judges[0]}"]`).getByRole('button').click()
  await page.getByLabel('Reason').fill('it was the lamp')
  await page.getByRole('button', { name: 'Do it' }).click()
  await page.locator(`tr[data-weights="${judges[0]}"][data-state="judges"]`).waitFor({ timeout: 30_000 })
  await noteJudge()

  await page.route('**/v1/**', (route) => route.abort())
  await page.getByText('This is what it said last').waitFor({ timeout: 30_000 })
  expectEqual('weights shown offline', await page.locator('tr[data-weights]').count(), listed.length)
  expectEqual('faults', faults, [])
  process.stdout.write(JSON.stringify({ judges, listed, differences }))
} finally {
  await browser.close()
}
