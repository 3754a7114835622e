/**
 * A person who sees what fires, reads what to do, and looks at the dashboards; later at a page without Prometheus.
 *
 * node status.ts CONSOLE CHROMIUM LINE STATE [FOLDER]; STATE is watched, away or none; pictures go into FOLDER.
 */

import { axeFaults, expectEqual, visit } from './browser.ts'

const [console_, chromium, line, state, folder] = process.argv.slice(2) as [
  string,
  string,
  string,
  'watched' | 'away' | 'none',
  string?,
]

const { browser, page, faults } = await visit(console_, chromium)
const picture = async (name: string) => {
  if (!folder) return
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.waitForTimeout(400)
    await page.screenshot({ path: `${folder}/status-${name}-${colorScheme}.png` })
  }
}
const filled = page.locator('.panels > li:not([data-series="0"])')
try {
  page.setDefaultTimeout(20_000)
  await page.getByRole('link', { name: 'Status', exact: true }).press('Enter')
  if (state === 'none') {
    await page.getByText('SIAD_CONSOLE_PROMETHEUS_URL').waitFor()
    await page.getByText('The console is ready.').waitFor()
    faults.push(...(await axeFaults(page)))
    await picture('none')
    process.stdout.write(JSON.stringify({ panels: await filled.count() }))
  } else if (state === 'away') {
    await page.getByText('Prometheus does not answer, so alerts are unknown').waitFor()
    await page.locator('.panels [role=alert]', { hasText: 'no answer of a Prometheus' }).first().waitFor()
    faults.push(...(await axeFaults(page)))
    await picture('away')
    process.stdout.write(JSON.stringify({ panels: await filled.count() }))
  } else {
    const alert = page.locator('.alerts [data-alert="SiadStageBlocked"]').first()
    await alert.waitFor()
    await alert.locator('summary').press('Enter')
    await alert.getByRole('heading', { name: 'What it means' }).waitFor()
    faults.push(...(await axeFaults(page)))
    await picture('alert')
    await alert.locator('summary').press('Enter')

    await filled.nth(5).waitFor()
    const canvases = await page.locator('.graph canvas').count()
    const boards: Record<string, number> = {}
    for (const name of ['fleet', 'line', 'learning', 'pods']) {
      await page.locator('.choice').getByRole('link', { name, exact: true }).press('Enter')
      await page.locator(`.choice a[aria-current="page"]`, { hasText: name }).waitFor()
      await filled.first().waitFor()
      boards[name] = await filled.count()
      faults.push(...(await axeFaults(page)))
      await picture(name)
    }
    await page.locator('.choice').getByRole('link', { name: 'line', exact: true }).click()
    await page.getByRole('combobox', { name: 'Line' }).selectOption(line)
    await page.locator('.panels', { hasText: line }).first().waitFor()
    expectEqual('address', new URL(page.url()).hash, `#/status?board=line&line=${line}`)
    expectEqual('boards of one line', await page.locator('.choice nav a').allTextContents(), [
      'line',
      'learning',
    ])
    const graph = page.locator('.graph').first()
    await graph.hover()
    await page.getByRole('combobox', { name: 'Time' }).selectOption('15')
    await filled.first().waitFor()
    await page.setViewportSize({ width: 3840, height: 2160 })
    await picture('4k')
    await page.setViewportSize({ width: 1280, height: 800 })
    const wide = await page.evaluate(() => document.documentElement.scrollWidth)
    expectEqual('width of the page', wide <= 1280, true)

    await page.route('**/v1/**', (route) => route.abort())
    await page.getByText('This is what it said last').waitFor({ timeout: 40_000 })
    expectEqual('panels shown offline', (await filled.count()) > 0, true)
    process.stdout.write(JSON.stringify({ boards, canvases }))
  }
  expectEqual('faults', faults, [])
} finally {
  await browser.close()
}
