/** Scores of the newest captures, with the threshold in use and the one that a budget would give. */

import type { Preview } from '../api/lines'
import { text } from '../text'
import { histogramOf, placeIn, ticksOf } from './histogram'

const [WIDTH, HEIGHT, BINS, TICKS] = [800, 160, 60, 5]
const texts = text.lines.settings.budget

export function ScoreHistogram({ preview }: { preview: Preview }) {
  const { scores, in_use, threshold } = preview
  const found = histogramOf(scores, [in_use, threshold], BINS)
  const most = Math.max(1, ...found.counts)
  const x = (value: number) => placeIn(found, value) * WIDTH
  return (
    <figure className="histogram">
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${texts.histogram(scores.length)}. ${texts.threshold(threshold, in_use)}`}
      >
        {found.counts.map((count, at) => {
          const height = Math.sqrt(count / most) * (HEIGHT - 4) // the root: single captures are seen beside hundreds
          const left = (at * WIDTH) / BINS
          return (
            <rect
              // biome-ignore lint/suspicious/noArrayIndexKey: a bin is its place
              key={at}
              x={left + 0.5}
              width={WIDTH / BINS - 1}
              y={HEIGHT - height}
              height={height}
              className={left + WIDTH / BINS / 2 >= x(threshold) ? 'over' : 'under'}
            />
          )
        })}
        <line className="in-use" x1={x(in_use)} x2={x(in_use)} y1={0} y2={HEIGHT} />
        <line className="then" x1={x(threshold)} x2={x(threshold)} y1={0} y2={HEIGHT} />
      </svg>
      <div className="axis" aria-hidden="true">
        {ticksOf(found, TICKS).map((value) => (
          <span key={value}>{value.toPrecision(3)}</span>
        ))}
      </div>
      <figcaption className="quiet">
        {texts.histogram(scores.length)}: <span className="in-use">{texts.inUse}</span>{' '}
        <span className="then">{texts.after}</span>. {texts.axis(most)}
      </figcaption>
    </figure>
  )
}
