/** Texts about captures that are put off. */

export const deferralsText = {
  heading: 'Put off: why?',
  note: 'You are asked again in a day. Others are still asked, and the queue shows them your reason.',
  reasons: [
    'The image is unclear',
    'Needs a look at the part',
    'Needs a colleague',
    'Another product than stated',
  ],
  own: 'Another reason',
  put: 'Put off',
  cancel: 'Cancel',
  storing: 'Storing ...',
  stored: (until: string) => `Put off until ${until}. P goes back to it`,
  refused: (why: string) => `Not put off. ${why}`,
  shown: (person: string, reason: string) => `Put off by ${person}: ${reason}`,
} as const
