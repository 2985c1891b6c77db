/** Least number of insertions, deletions and replacements of characters that make `b` of `a`. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** True where `word` is `candidate` with some of its underscore-separated parts left out. */
function isShortFor(word: string, candidate: string): boolean {
  const parts = candidate.split('_');
  return word.split('_').every((part) => parts.includes(part));
}

/** The candidate that was most likely meant by `word`, if any is near enough: parts left out, or slips of the pen. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const [best] = candidates
    .map((candidate) => ({
      candidate,
      distance: isShortFor(word, candidate) ? 1 : editDistance(word, candidate),
    }))
    .filter(({ candidate, distance }) => distance <= Math.max(2, candidate.length / 6))
    .sort((left, right) => left.distance - right.distance);
  return best?.candidate;
}
