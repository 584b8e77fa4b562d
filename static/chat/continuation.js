/* Where a message's own text ends and that of its running generation begins, when a page comes in the middle. */

/**
 * `stored`: the message's text, this generation's part included; `own`: the same part, read a moment earlier or later, so
 * one may be longer by what was saved in between. Returns the text before it.
 */
export function textBefore(stored, own) {
  for (let length = Math.min(stored.length, own.length); length > 0; length--) {
    if (stored.endsWith(own.slice(0, length))) return stored.slice(0, stored.length - length);
  }
  return stored;
}
