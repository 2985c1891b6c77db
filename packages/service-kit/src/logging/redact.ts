const redacted = '[redacted]';

/** Keys whose text is secret. Counts of tokens are numbers and stay. */
const secretKey =
  /(?:authorization|cookie|api[-_]?key|password|passwd|secret|credentials?|(?:^|[-_]|[a-z](?=T))token|_KEY)$/i;

/** The same keys at the end of a name in JSON text: cheap, so that few lines are parsed a second time. */
const mayHoldSecretKey =
  /(?:authorization|cookie|api[-_]?key|password|passwd|secret|credentials?|token|_KEY)"\s*:\s*["[{]/i;

/** Secrets recognised by their form, wherever they occur in a text. */
const secretForms: readonly (readonly [RegExp, string])[] = [
  [/\b([a-z][a-z0-9+.-]*:\/\/[^\s:/@"\\]*):[^\s/"\\]*@/gi, `$1:${redacted}@`],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/g, `$1 ${redacted}`],
  [/\bsk-ant-[A-Za-z0-9_-]+/g, redacted],
  [/\b(x-api-key|api[-_]?key|password)(\s*[=:]\s*)(?!\[redacted\])[^\s"'\\,;&]+/gi, `$1$2${redacted}`],
];

const registered = new Set<string>();

/**
 * Makes a value known as secret: no log line of this process shows it again, wherever it occurs.
 * Values of fewer than 8 characters are refused, because ordinary text would be cut to pieces.
 */
export function registerSecret(value: string): void {
  if (value.length < 8) throw new RangeError('a secret to be redacted must have at least 8 characters');
  registered.add(value);
  // In JSON text a secret stands with its quotes, backslashes and control characters escaped.
  registered.add(JSON.stringify(value).slice(1, -1));
}

function redactKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]: [string, unknown]) => {
      const isText = typeof inner === 'string' || (typeof inner === 'object' && inner !== null);
      return [key, isText && secretKey.test(key) ? redacted : inner];
    }),
  );
}

/** The text without secrets. */
export function redactText(text: string): string {
  let result = text;
  for (const secret of registered) result = result.replaceAll(secret, redacted);
  for (const [form, replacement] of secretForms) result = result.replace(form, replacement);
  return result;
}

/** A log line, JSON with a line break at its end, without secrets. */
export function redactLine(line: string): string {
  const text = mayHoldSecretKey.test(line)
    ? `${JSON.stringify(JSON.parse(line, (key, value: unknown) => redactKeys(key, value)))}\n`
    : line;
  return redactText(text);
}
