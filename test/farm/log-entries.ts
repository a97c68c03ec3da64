/** @file What a process of the farm has logged. */

export function logEntries(text: string): Record<string, unknown>[] {
  return text.split("\n").flatMap((line) => {
    try {
      return [JSON.parse(line) as Record<string, unknown>];
    } catch {
      return []; // what no logger wrote
    }
  });
}
