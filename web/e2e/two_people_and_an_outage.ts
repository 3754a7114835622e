/**
 * An answer that another person overtook, and one while the console is killed.
 *
 * node two_people_and_an_outage.ts CONSOLE CHROMIUM LINE PID; kills the console, which pytest starts again.
 */

import { drag, expectEqual, placeOf, visit } from './browser.ts'

const [console_, chromium, line, pid] = process.argv.slice(2) as [string, string, string, string]
const STROKE = [
  [40, 30],
  [50, 36],
] as const

const { browser, page, faults } = await visit(console_, chromium)
try {
  await page.getByRole('link', { name: line }).click()
  await placeOf(page)

  const overtaken = await shownCapture()
  const other = await fetch(`${at(overtaken)}/corrections?verdict=unsure&author=bob`, { method: 'POST' })
  expectEqual('status of the other answer', other.status, 201)
  await page.keyboard.press('g')
  await page.getByText('Another answer to this capture was stored meanwhile.').waitFor()
  await page.getByRole('button', { name: 'Store mine as a newer revision' }).click()
  await page.getByText('Stored: good, revision 2').waitFor()

  const place = await placeOf(page)
  const interrupted = await shownCapture()
  await page.keyboard.down('Shift')
  await drag(page, place, STROKE)
  await page.keyboard.up('Shift')
  process.kill(Number(pid), 'SIGKILL')
  await page.keyboard.press('Enter')
  await page.getByText('The console does not answer.').waitFor()
  expectEqual('marks while the console is away', await page.locator('.marks li').count(), 3)

  await isReady()
  await page.getByRole('button', { name: 'Try again' }).click()
  const ended = page.getByRole('heading', { name: 'Your session has ended' })
  await ended.waitFor()
  const link = await fetch(`${console_}/v1/sign-in-links?person=ann`, { method: 'POST' })
  const tab = await page.context().newPage()
  await tab.goto(console_ + ((await link.json()) as { path: string }).path)
  await tab.getByRole('heading', { name: 'Lines' }).waitFor()
  await tab.close()
  await page.bringToFront()
  await page.evaluate(() => window.dispatchEvent(new Event('focus'))) // without a window manager nothing else does
  await ended.waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByText('Stored: defect, revision 1').waitFor()
  expectEqual('faults', faults, [])
  process.stdout.write(JSON.stringify({ overtaken, interrupted }))
} finally {
  await browser.close()
}

/** Id of the capture that the page shows. */
async function shownCapture(): Promise<string> {
  return (await page.locator('main.review').getAttribute('data-capture')) ?? ''
}

function at(capture: string): string {
  return `${console_}/v1/lines/${line}/captures/${capture}`
}

async function isReady(): Promise<void> {
  for (;;) {
    const response = await fetch(`${console_}/readyz`).catch(() => null)
    if (response?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
