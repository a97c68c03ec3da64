/** @file How much memory the runtime of this node may use. */

/**
 * The limit of the container where it has one, else all of the machine's memory.
 *
 * @param constrained what Node says of the container: undefined or 0 where it knows none, and more
 *   than the machine has where there is no limit
 * @param total bytes of the machine
 * @source nodejs.org/api/process.html, process.constrainedMemory()
 */
export function usableMemory(constrained: number | undefined, total: number): number {
  return constrained !== undefined && constrained > 0 && constrained < total ? constrained : total;
}
