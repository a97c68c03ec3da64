/** @file What is said to one who stops waiting for a job that goes on. */

/** What to type to go on with a job that is not waited for any more. */
export function detached(
  jobId: string,
  { out, address }: { readonly out?: string; readonly address?: string },
): string {
  const where = address === undefined ? "" : ` --address ${address}`;
  return [
    `detached; job ${jobId} goes on`,
    `  renderfarm watch ${jobId} --out ${out}${where}   waits for it and fetches its files`,
    `  renderfarm cancel ${jobId}${where}`,
  ].join("\n");
}
