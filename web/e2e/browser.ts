/** A browser of Debian at the console's page, for tests that pytest starts. */

import { AxeBuilder } from '@axe-core/playwright'
import { type Browser, chromium, type Page } from '@playwright/test'

/** Where the image is on the screen. */
export interface Place {
  readonly left: number
  readonly top: number
  readonly zoom: number
}

/** A signed-in page, and everything on it that must not happen. */
export interface Visit {
  readonly browser: Browser
  readonly page: Page
  readonly faults: string[]
}

export async function visit(console_: string, executablePath: string): Promise<Visit> {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage()
  const faults: string[] = []
  watch(page, console_, faults)
  const link = await fetch(`${console_}/v1/sign-in-links?person=ann`, { method: 'POST' })
  const { path } = (await link.json()) as { path: string }
  await page.goto(console_ + path)
  await page.getByRole('heading', { name: 'Lines' }).waitFor()
  return { browser, page, faults }
}

/** Note errors of scripts, breaches of the policy and requests to other hosts. */
export function watch(page: Page, console_: string, faults: string[]): void {
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`))
  page.on('console', (message) => {
    // a refused request is shown by the page itself
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
      faults.push(`console: ${message.text()}`)
    }
  })
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(`${console_}/`) && !/^(data|blob):/.test(url)) faults.push(`request to ${url}`)
  })
}

/** Wait for the image, and find where its pixels are. */
export async function placeOf(page: Page): Promise<Place> {
  const surface = page.locator('.surface')
  await page.locator('.surface canvas').first().waitFor()
  await page.keyboard.press('0')
  const box = await surface.boundingBox()
  const width = Number(await surface.getAttribute('data-width'))
  const height = Number(await surface.getAttribute('data-height'))
  if (!box) throw new Error('the surface is not shown')
  const [w, h] = [Math.floor(box.width), Math.floor(box.height)]
  const zoom = Math.min(32, (w - 32) / width, (h - 32) / height)
  return {
    left: box.x + Math.round((w - width * zoom) / 2),
    top: box.y + Math.round((h - height * zoom) / 2),
    zoom,
  }
}

/** Drag over the centres of pixels. */
export async function drag(
  page: Page,
  place: Place,
  pixels: readonly (readonly [number, number])[],
): Promise<void> {
  const [first, ...rest] = pixels.map(([x, y]) => [
    place.left + (x + 0.5) * place.zoom,
    place.top + (y + 0.5) * place.zoom,
  ]) as [[number, number], ...[number, number][]]
  await page.mouse.move(...first)
  await page.mouse.down()
  for (const [x, y] of rest) await page.mouse.move(x, y)
  await page.mouse.up()
}

export async function point(page: Page, place: Place, x: number, y: number): Promise<void> {
  await page.mouse.move(place.left + (x + 0.5) * place.zoom, place.top + (y + 0.5) * place.zoom)
}

/** Accessibility faults of what is shown now. */
export async function axeFaults(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze()
  return violations.map(({ id, nodes }) => `axe: ${id} at ${nodes.map((node) => node.html).join(' ')}`)
}

export function expectEqual(what: string, found: unknown, wanted: unknown): void {
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    throw new Error(`${what}: ${JSON.stringify(found)} in place of ${JSON.stringify(wanted)}`)
  }
}
