/**
 * A person who registers a line by dropping good parts, one of which is no image.
 *
 * node new_line.ts CONSOLE CHROMIUM LINE FOLDER [PICTURES]; FOLDER holds the images.
 */

import { readdirSync } from 'node:fs'
import { axeFaults, expectEqual, visit } from './browser.ts'

const [console_, chromium, line, folder, pictures] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string?,
]

const { browser, page, faults } = await visit(console_, chromium)
const files = readdirSync(folder).map((name) => `${folder}/${name}`)
try {
  page.setDefaultTimeout(20_000)
  await page.getByText('There is no line yet').waitFor()
  faults.push(...(await axeFaults(page)))
  await page.getByLabel('Name of the line').fill(line)
  await page.getByLabel('Product').fill('cell')
  await page.getByLabel('Images of good parts').setInputFiles(files)
  await page.getByText(`${files.length} images chosen`).waitFor()
  await page.getByRole('button', { name: 'Register and send' }).click()
  await page.getByText(`${files.length - 1} images stored`).waitFor()
  await page.getByText('1 not stored').waitFor()
  const refused = (await page.locator('.new-line li').first().textContent()) ?? ''
  const card = page.locator(`li[data-line="${line}"]`)
  await card.getByText('10 normals: its first teacher is due').waitFor()
  if (pictures) await page.screenshot({ path: `${pictures}/new-line.png` })

  // the same name again changes nothing
  await page.getByRole('button', { name: 'Send those again' }).click()
  await page.getByText('1 not stored').waitFor()
  await page.reload()
  await card.waitFor()
  await page.getByLabel('Name of the line').fill(line)
  await page.getByLabel('Product').fill('other')
  await page.getByRole('button', { name: 'Register and send' }).click()
  await page.getByText('exists already').waitFor()
  expectEqual('faults', faults, [])
  process.stdout.write(JSON.stringify({ refused }))
} finally {
  await browser.close()
}
