/** What a process uses, as Linux tells it; elsewhere NaN. */

const TICKS_PER_S = 100;

/** CPU time that it has used so far, all its threads. */
export function cpuSeconds(pid: number): number {
  try {
    const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
  } catch {
    return NaN;
  }
}

/** Memory that it holds (resident set), in MiB. */
export function rssMb(pid: number): number {
  try {
    const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))!;
    return Number(kib) / 1_024;
  } catch {
    return NaN;
  }
}

/** Runnable processes of the machine averaged over a minute: what a number was measured under. */
export function machineLoad(): string {
  const [oneMinute = NaN] = Deno.loadavg();
  return `load average ${oneMinute.toFixed(1)} on ${navigator.hardwareConcurrency} cores`;
}
