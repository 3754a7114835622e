/** Captures that teacher and segmenter decide differently, with the marks of both side by side. */

import { useQuery } from '@tanstack/react-query'
import { type Finding, type ListedCapture, readCaptures, thumbnailAt } from '../api/captures'
import { maskAt } from '../api/client'
import type { ProductWeights } from '../api/weights'
import { queueAt } from '../app/address'
import { text } from '../text'
import { differences, rejects } from './differences'

/** Captures that are compared: as many as the console lists at once. */
const COMPARED = 200
const SHOWN = 12

export function Differences({ line, product }: { line: string; product: ProductWeights }) {
  const query = { product: product.product }
  const list = useQuery({
    queryKey: ['captures', line, query, 'differences'],
    queryFn: ({ signal }) => readCaptures(line, query, null, signal, COMPARED),
  })
  const segmenters = product.weights.filter(({ kind }) => kind === 'segmenter').map(({ weights }) => weights)
  const found = differences(list.data?.captures ?? [], new Set(segmenters), product.product)
  return (
    <section>
      <h2>{text.weights.differences.heading}</h2>
      {list.isPending && <p className="quiet">{text.loading}</p>}
      {list.isError && <p role="alert">{list.error.message}</p>}
      {list.isSuccess && found.length === 0 && (
        <p className="quiet">
          {segmenters.length === 0 ? text.weights.differences.noSegmenter : text.weights.differences.none}
        </p>
      )}
      <ul className="differences">
        {found.slice(0, SHOWN).map(({ capture, teacher, segmenter }) => (
          <li key={capture.capture_id}>
            <Side capture={capture} finding={teacher} name={text.weights.differences.teacher} />
            <Side capture={capture} finding={segmenter} name={text.weights.differences.segmenter} />
            <a href={queueAt(line, `state=&capture=${capture.capture_id}`)}>
              {capture.serial || capture.capture_id.slice(0, 8)}
            </a>
          </li>
        ))}
      </ul>
    </section>
  )
}

interface SideProps {
  readonly capture: ListedCapture
  readonly finding: Finding
  readonly name: string
}

function Side({ capture, finding, name }: SideProps) {
  const said = rejects(finding) ? text.weights.differences.rejects : text.weights.differences.passes
  const marks = finding.mask_uri && `url(${maskAt({ ...capture, mask_uri: finding.mask_uri })})`
  return (
    <figure>
      <span className="picture">
        <img src={thumbnailAt(capture)} alt="" loading="lazy" />
        {marks && rejects(finding) && <span className="shown-marks" style={{ maskImage: marks }} />}
      </span>
      <figcaption>
        <strong>{name}</strong>{' '}
        <span className={rejects(finding) ? 'reject' : 'pass'}>{said(finding.score, finding.threshold)}</span>
      </figcaption>
    </figure>
  )
}
