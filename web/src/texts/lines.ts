/** Texts of the pages Lines and Settings. */

const percent = (share: number) => `${(100 * share).toLocaleString('en', { maximumFractionDigits: 2 })}%`

export const linesText = {
  heading: 'Lines',
  none: 'There is no line yet.',
  noneCommand: 'Register one, then send images:',
  command: 'siad line put LINE --product PRODUCT',
  open: 'Review',
  states: {
    waiting: (count: number, needed: number) => `waits for normals: ${count} of ${needed}`,
    fitting: (count: number) =>
      `${count} normals: its first teacher is due. siad status says what it waits for`,
    judges: (kind: string, since: string) => `${kind} judges since ${since}`,
    learning: 'learns',
    held: 'learning is stopped',
    unreadable: (why: string) => `the store can’t be read: ${why}`,
  },
  kinds: { teacher: 'teacher', segmenter: 'segmenter' },
  noVerdict: 'No verdict yet',
  counts: (passed: number, rejected: number, unknown: number) =>
    `Last ${passed + rejected + unknown}: ${passed} passed, ${rejected} rejected${unknown ? `, ${unknown} unknown` : ''}`,
  score: (score: number, threshold: number) =>
    `score ${score.toPrecision(3)}, threshold ${threshold.toPrecision(3)}`,
  rejected: (share: number) => `${percent(share)} rejected`,
  falseRejects: (estimated: number, low: number, high: number, budget: number) =>
    `False rejects about ${percent(estimated)} (${percent(low)} to ${percent(high)}), budget ${percent(budget)}`,
  budgetOnly: (budget: number) => `Budget of false rejects ${percent(budget)}`,
  used: 'Part of the false-reject budget that is used',
  newest: 'Newest verdicts',
  decisions: { pass: 'passed', reject: 'rejected', unknown: 'unknown' },
  stale: 'The console does not answer. This is what it said last.',
  newLine: {
    heading: 'New line',
    how: 'Ten or more images of good parts fit its first teacher.',
    name: 'Name of the line',
    product: 'Product',
    rule: 'a-z, 0-9 and -, at most 63 characters',
    register: 'Register and send',
    registered: (line: string) => `Line ${line} is registered.`,
    taken: (line: string) => `Line ${line} exists already. Open its settings to send normals.`,
  },
  drop: {
    label: 'Images of good parts',
    hint: 'Drop images here, or choose files',
    chosen: (count: number) => `${count} ${count === 1 ? 'image' : 'images'} chosen`,
    sending: (done: number, count: number) => `Sending ${done} of ${count} ...`,
    sent: (count: number) => `${count} ${count === 1 ? 'image' : 'images'} stored.`,
    refused: (count: number) => `${count} not stored:`,
    again: 'Send those again',
    of: (name: string, why: string) => `${name}: ${why}`,
  },
  settings: {
    open: 'Settings',
    onlyLooks: 'Changes take the role engineer on this line.',
    noIngest:
      'The console does not know ingest, so nothing can be changed here. Use siad line put, or set SIAD_CONSOLE_INGEST_URL.',
    budget: {
      heading: 'False-reject budget',
      label: 'Good parts that may be rejected',
      value: percent,
      save: 'Save the budget',
      saved: 'Saved. The labeler fits a teacher for it.',
      tightens: 'It tightens by itself as normals grow; a budget that is saved here stays.',
      cost: 'A miss has a cost on this line, which chooses the threshold instead of the budget.',
      means:
        'The threshold that the present weights would have. After saving, the labeler fits a teacher for this budget.',
      threshold: (value: number, inUse: number) =>
        `Threshold ${value.toPrecision(3)}, in use ${inUse.toPrecision(3)}`,
      rate: (estimated: number, low: number, high: number) =>
        `rejects about ${percent(estimated)} of good parts (${percent(low)} to ${percent(high)})`,
      changes: (rejects: number, passes: number, count: number) =>
        rejects + passes === 0
          ? `None of the newest ${count} verdicts would change.`
          : `Of the newest ${count} verdicts ${rejects} would become rejected and ${passes} passed:`,
      becomes: { reject: 'would be rejected', pass: 'would pass' },
      axis: (most: number) =>
        `Scores run from left to right; the highest bar has ${most} ${most === 1 ? 'capture' : 'captures'}, and heights grow with the root of the number.`,
      histogram: (count: number) => `Scores of the newest ${count} captures`,
      inUse: 'in use',
      after: 'with this budget',
    },
    classes: {
      heading: 'Kinds of defects',
      means: 'People name a mark by its digit in the annotator.',
      name: (digit: number) => `Kind ${digit}`,
      add: 'Add a kind',
      remove: (digit: number) => `Remove kind ${digit}`,
      save: 'Save the kinds',
      saved: 'Saved.',
    },
    product: {
      heading: 'Changeover',
      means:
        'From the next image on, the line makes this product. Each product has its own normals, weights and threshold.',
      save: 'Change over',
      saved: (product: string) => `Saved. The line makes ${product} now.`,
    },
    normals: { heading: 'More images of good parts' },
    conflict: 'The settings were changed meanwhile. What is shown now is newer; look, and save again.',
  },
}
