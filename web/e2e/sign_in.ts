/**
 * Sign-in by password, a session that ends while something is drawn, and sessions elsewhere.
 *
 * node sign_in.ts CONSOLE CHROMIUM LINE PASSWORD [FOLDER]; the account is pat. With a folder it writes screenshots.
 */

import { chromium } from '@playwright/test'
import { axeFaults, drag, expectEqual, placeOf, watch } from './browser.ts'

const [console_, executablePath, line, password, folder] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string?,
]
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
const faults: string[] = []

async function open() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
  const page = await context.newPage()
  watch(page, console_, faults)
  await page.goto(console_)
  return { context, page }
}

async function signIn(page: import('@playwright/test').Page, typed: string): Promise<void> {
  await page.getByLabel('Name').fill('pat')
  await page.getByLabel('Password').fill(typed)
  await page.keyboard.press('Enter')
}

async function picture(page: import('@playwright/test').Page, name: string): Promise<void> {
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` })
}

const { context, page } = await open()
await page.getByRole('heading', { name: 'Sign in' }).waitFor()
faults.push(...(await axeFaults(page)))
await signIn(page, 'not this one at all')
await page.getByText('name or password is wrong').waitFor()
await picture(page, 'sign-in-refused')
expectEqual('the password after a refusal', await page.getByLabel('Password').inputValue(), '')
await signIn(page, password)
await page.getByRole('button', { name: 'Signed in as pat' }).waitFor()

// another browser ends this session while pat draws
await page.goto(`${console_}/#/lines/${line}`)
const place = await placeOf(page)
await page.keyboard.down('Shift')
await drag(page, place, [
  [50, 10],
  [54, 14],
])
await page.keyboard.up('Shift')
await page.locator('li', { hasText: 'Mark 3' }).waitFor()
const other = await open()
await signIn(other.page, password)
await other.page.getByRole('button', { name: 'Signed in as pat' }).click()
await other.page.getByRole('button', { name: 'End', exact: true }).waitFor()
faults.push(...(await axeFaults(other.page)))
await picture(other.page, 'sessions')
await other.page.getByRole('button', { name: 'End', exact: true }).click()
await other.page.getByRole('button', { name: 'End', exact: true }).waitFor({ state: 'detached' })
await page.waitForTimeout(2500) // the longest that a console takes to know
await page.keyboard.press('Enter')
await page.getByRole('heading', { name: 'Your session has ended' }).waitFor()
faults.push(...(await axeFaults(page)))
await picture(page, 'session-ended')
await signIn(page, password)
await page.getByRole('heading', { name: 'Your session has ended' }).waitFor({ state: 'detached' })
expectEqual('marks after signing in again', await page.locator('li', { hasText: 'Mark 3' }).count(), 1)
await page.getByRole('button', { name: 'Try again' }).click()
await page.getByText('Stored: defect, revision 1').waitFor()

await page.getByRole('button', { name: 'Sign out' }).click()
await page.getByRole('heading', { name: 'Sign in' }).waitFor()
expectEqual('cookies', await context.cookies(), [])
expectEqual('faults', faults, [])
await browser.close()
console.log(JSON.stringify({ signedOut: true }))
