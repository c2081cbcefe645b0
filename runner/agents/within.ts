/** Bounded waiting. */

/** How long after a process's end its output may stay open (something that left its group may hold it). */
export const outputEndMs = 500;

/** Resolves with `work`, or after `ms` if that is sooner. */
export async function withinMs(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([work, new Promise<void>((resolve) => timer = setTimeout(resolve, ms))]);
  clearTimeout(timer);
}
