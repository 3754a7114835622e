/**
 * The panels of a dashboard as PNG, through the page Status.
 *
 * node board_picture.ts CONSOLE CHROMIUM SHOWN FILE; SHOWN is the address behind #/status?.
 */

import { expectEqual, visit } from './browser.ts'

const [console_, chromium, shown, file] = process.argv.slice(2) as [string, string, string, string]

const { browser, page, faults } = await visit(console_, chromium)
try {
  page.setDefaultTimeout(20_000)
  await page.setViewportSize({ width: 1400, height: 3000 })
  await page.goto(`${console_}/#/status?${shown}`)
  await page.locator('.panels > li').first().waitFor()
  await page.waitForTimeout(500) // the graphs take the width of their panels
  await page.locator('.boards').screenshot({ path: file })
  expectEqual('faults', faults, [])
} finally {
  await browser.close()
}
