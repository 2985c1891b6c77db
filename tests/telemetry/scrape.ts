/** The metrics of a process, as text. @param url of its API; metrics are served on the port + 1000 */
export async function scrape(url: string): Promise<string> {
  const ops = new URL(url);
  ops.port = String(Number(ops.port) + 1000);
  const response = await fetch(new URL('/metrics', ops));
  if (!response.ok) throw new Error(`${ops.href}metrics answered ${response.status}`);
  return response.text();
}

/** The value of a metric, summed over all series whose labels hold these; 0 where there is none. */
export function valueOf(
  metrics: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  return metrics
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

/** The addresses of the four processes that `npm run services` starts, by the engine's. */
export function processUrls(
  engineUrl: string,
): Record<'engine' | 'session-store' | 'stats-store' | 'state-store', string> {
  const at = (port: number) => `http://127.0.0.1:${Number(new URL(engineUrl).port) - 8081 + port}`;
  return { engine: engineUrl, 'session-store': at(8091), 'stats-store': at(8092), 'state-store': at(8093) };
}
