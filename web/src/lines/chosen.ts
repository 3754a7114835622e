/** Images that a person has chosen, in one or several steps. */

/** Add images to those that were chosen before; one that is chosen twice counts once. */
export function joined(before: readonly File[], more: readonly File[]): File[] {
  const nameOf = (file: File) => `${file.name} ${file.size} ${file.lastModified}`
  return [...new Map([...before, ...more].map((file) => [nameOf(file), file])).values()]
}
