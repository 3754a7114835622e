/** Texts of the page Weights. */

export const weightsText = {
  open: 'Weights',
  none: 'This line has no weights yet. Ten normals fit its first teacher:',
  command: (line: string) => `siad send good/*.png --line ${line} --intent normal`,
  product: 'Product',
  judges: (kind: string, weights: string, since: string) =>
    `${kind} ${weights} judges${since && ` since ${since}`}`,
  nothingJudges: 'Nothing judges: captures are unknown',
  learns: 'Learning goes on',
  paused: 'Learning is stopped',
  kinds: { teacher: 'Teacher', segmenter: 'Segmenter' },
  states: {
    judges: 'judges',
    'in service': 'in service',
    'served before': 'served before',
    'left by a rollback': 'left by a rollback',
    'in quarantine': 'in quarantine',
    refused: 'refused',
    'never released': 'never released',
  } as Readonly<Record<string, string>>,
  actions: {
    train: 'Train now',
    hold: 'Hold learning',
    resume: 'Resume learning',
    rollback: 'Roll back',
    return: 'Put in service',
  },
  ask: {
    train: 'Start a training run now?',
    hold: 'Hold the learning of this product?',
    resume: 'Resume the learning of this product?',
    rollback: 'Put earlier weights in service?',
  },
  means: {
    train:
      'The trainer starts a run without waiting for new captures. What it makes serves only if the gate accepts it.',
    hold: 'No refit on more captures, no training run and no release, until it is resumed. Inspection goes on.',
    resume: 'Refits, runs and releases go on, unless the line’s setting or the brake stops them.',
    rollback: (weights: string) =>
      `${weights ? `Weights ${weights} judge` : 'The weights before judge, or else the teacher,'} from then on. The weights that are left are not released again by themselves.`,
  },
  onlyLooks: 'Commands take the role engineer on this line.',
  reason: 'Reason, for the record',
  give: 'Do it',
  cancel: 'Cancel',
  commands: {
    heading: 'Commands',
    none: 'No command yet.',
    waits: (stage: string) => `waits for the ${stage}`,
    fates: { done: 'done', refused: 'refused' },
    by: (person: string, reason: string) => `by ${person}${reason && `: ${reason}`}`,
    kinds: { train: 'Train now', hold: 'Hold learning', resume: 'Resume learning', rollback: 'Roll back' },
    to: (weights: string) => `to ${weights}`,
  },
  releases: {
    heading: 'Weights',
    columns: ['Weights', 'Kind', 'State', 'Since', 'Compared on held-out captures', 'Why, or why not', ''],
    unknown: 'no record',
    lineage: 'Learned from',
    trainingSet: (digest: string) => `training set ${digest}`,
    normals: (count: number) => `${count} normals`,
    captures: (count: number) => `${count} captures`,
    answers: (count: number) => `${count} answers`,
    teachers: (names: string) => `teacher ${names}`,
    threshold: (value: number) => `threshold in service ${value.toPrecision(3)}`,
    origin: (origin: string) => `from ${origin}`,
  },
  /** Figures of the gate and of the report, by name. */
  figures: {
    image_auroc: 'image AUROC',
    pixel_ap: 'pixel AP',
    rank_agreement: 'rank agreement',
    probe_merit: 'synthetic defects, of 2',
    false_rejects: 'false rejects',
    corrected_right: 'answers right',
  } as Readonly<Record<string, string>>,
  before: (value: string) => `was ${value}`,
  runs: {
    heading: 'Training runs',
    none: 'No run yet.',
    columns: ['Run', 'Outcome', 'Set frozen', 'Candidate', 'Reason'],
    open: (progress: string, starts: number) => `${progress}${starts ? `, start ${starts}` : ''}`,
  },
  differences: {
    heading: 'Where teacher and segmenter differ',
    none: 'Among the newest captures none is judged by both and decided differently.',
    noSegmenter: 'No segmenter judges, so nothing differs.',
    teacher: 'Teacher',
    segmenter: 'Segmenter',
    rejects: (score: number, threshold: number) =>
      `rejects: ${score.toPrecision(3)} of ${threshold.toPrecision(3)}`,
    passes: (score: number, threshold: number) =>
      `passes: ${score.toPrecision(3)} of ${threshold.toPrecision(3)}`,
  },
  stale: 'The console does not answer. This is what it said last.',
}
