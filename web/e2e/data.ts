/**
 * A person who exports a line as COCO, imports the file into another line, once more, and then one with a problem.
 *
 * node data.ts CONSOLE CHROMIUM LINE OTHER BROKEN [FOLDER]; prints the name of the download as JSON.
 */

import { axeFaults, expectEqual, visit } from './browser.ts'

const [console_, chromium, line, other, broken, folder] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string?,
]

const { browser, page, faults } = await visit(console_, chromium)
const status = (words: string) => page.getByRole('status').getByText(words).first().waitFor()
const picture = async (name: string) => {
  if (!folder) return
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.waitForTimeout(300)
    await page.screenshot({ path: `${folder}/${name}-${colorScheme}.png` })
  }
}
try {
  page.setDefaultTimeout(20_000)
  await page.goto(`${console_}/#/lines/${line}/data`)
  await status('3 captures, 1 of them normals')
  await status('1 not answered')
  faults.push(...(await axeFaults(page)))
  await page.getByRole('combobox', { name: 'Format' }).selectOption('voc')
  await page.getByRole('combobox', { name: 'Answer' }).selectOption('defect')
  await status('1 captures, 0 of them normals')
  await page.getByRole('combobox', { name: 'Answer' }).selectOption('')
  await page.getByRole('combobox', { name: 'Format' }).selectOption('coco')
  await status('3 captures, 1 of them normals')
  await picture('export')
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('link', { name: 'Download' }).click(),
  ])
  const path = await download.path()

  await page.goto(`${console_}/#/lines/${other}/data`)
  await page.locator('.data').getByText('No capture fits').waitFor()
  const file = page.locator('input[type=file]')
  await file.setInputFiles(broken)
  await page.getByRole('alert').getByText('leads out of it').waitFor()
  await file.setInputFiles({
    name: 'press-1-coco.zip',
    mimeType: 'application/zip',
    buffer: await read(path),
  })
  await page.getByRole('button', { name: 'Store 3 new images and 2 answers' }).waitFor()
  faults.push(...(await axeFaults(page)))
  await picture('checked')
  await page.getByRole('button', { name: 'Store 3 new images' }).click()
  await status('Stored.')
  await file.setInputFiles({
    name: 'press-1-coco.zip',
    mimeType: 'application/zip',
    buffer: await read(path),
  })
  await page.getByText('The line has all of this already').waitFor()
  await picture('again')
  expectEqual('faults', faults.join('; '), '')
  console.log(JSON.stringify({ download: download.suggestedFilename() }))
} finally {
  await browser.close()
}

async function read(path: string): Promise<Buffer> {
  return (await import('node:fs/promises')).readFile(path)
}
