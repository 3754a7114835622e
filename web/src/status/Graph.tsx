/** Series over time, by uPlot: its legend tells the values under the pointer, else the newest. */

import { useEffect, useRef, useSyncExternalStore } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import type { Panel } from '../api/status'
import { text } from '../text'
import { aligned, valueText } from './values'

const HEIGHT = 220
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]] // series are told apart without colour too

export function Graph({ panel, minutes }: { panel: Panel; minutes: number }) {
  const place = useRef<HTMLDivElement>(null)
  const isDark = useDark()
  useEffect(() => {
    const target = place.current
    if (!target) return
    const plot = new uPlot(
      optionsOf(panel, minutes, target.clientWidth, isDark),
      aligned(panel.series),
      target,
    )
    const sizes = new ResizeObserver(() => plot.setSize({ width: target.clientWidth, height: HEIGHT }))
    sizes.observe(target)
    return () => {
      sizes.disconnect()
      plot.destroy()
    }
  }, [panel, minutes, isDark])
  const newest = panel.series.map(
    ({ name, values }) => `${name} ${valueText(values.at(-1) ?? 0, panel.unit)}`,
  )
  return (
    <div
      className="graph"
      ref={place}
      role="img"
      aria-label={text.status.graph(panel.title, panel.series.length, newest.join(', '))}
    />
  )
}

function optionsOf(panel: Panel, minutes: number, width: number, isDark: boolean): uPlot.Options {
  const ink = isDark ? '#a2abb8' : '#545c68'
  const grid = { stroke: isDark ? '#373d47' : '#dfe3e8', width: 1 }
  const now = Date.now() / 1000
  const axis = { stroke: ink, grid, ticks: grid, font: '12px system-ui, sans-serif' }
  return {
    width,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    legend: { live: true },
    scales: {
      x: { range: [now - 60 * minutes, now] },
      y: { range: (_, least, most) => [Math.min(0, least), most > Math.min(0, least) ? most * 1.05 : 1] },
    },
    axes: [
      { ...axis, values: (_, splits) => splits.map((at) => timeText(at, minutes)) },
      {
        ...axis,
        size: 74,
        values: (_, splits) => splits.map((value) => valueText(value, panel.unit)),
      },
    ],
    series: [
      { value: (_, at) => (at === null ? '' : new Date(1000 * at).toLocaleTimeString('en-GB')) },
      ...panel.series.map(({ name, values }, at) => ({
        label: name,
        stroke: colourOf(at, isDark),
        width: 2,
        dash: DASHES[Math.floor(at / COLOURS) % DASHES.length] as number[],
        points: { show: values.length < 3 },
        value: (_: uPlot, value: number | null, __: number, index: number | null) =>
          index === null
            ? valueText(values.at(-1) ?? 0, panel.unit)
            : value === null
              ? '–'
              : valueText(value, panel.unit),
      })),
    ],
  }
}

function timeText(at_s: number, minutes: number): string {
  const at = new Date(1000 * at_s)
  const time = at.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })
  return minutes <= DAY
    ? time
    : `${at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${time}`
}

const DAY = 1440
const COLOURS = 7

/** Colours of equal contrast, far apart on the circle. */
function colourOf(at: number, isDark: boolean): string {
  const hue = [210, 25, 140, 285, 55, 180, 340][at % COLOURS]
  return isDark ? `hsl(${hue} 75% 68%)` : `hsl(${hue} 75% 34%)`
}

function useDark(): boolean {
  return useSyncExternalStore(
    (changed) => {
      scheme.addEventListener('change', changed)
      return () => scheme.removeEventListener('change', changed)
    },
    () => scheme.matches,
  )
}

const scheme = matchMedia('(prefers-color-scheme: dark)')
