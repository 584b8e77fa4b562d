/* What is told beside a reply's text: notes, `{note, details}`. */

const OF_A_TEXT = new Set(["fallback", "cached"]); // who gave the answer: nothing to say where there is none

/** With a note that has come now: it stands in the place of an earlier one of its kind. */
export const withNote = (notes, { note, details }) => [...notes.filter((one) => one.note !== note), { note, details }];

/** How many are to be answered before a reply that waits for its turn; null when it does not, or nobody said. */
export function ahead(notes) {
  const position = notes.find(({ note }) => note === "queued")?.details.position ?? 0;
  return position < 1 ? null : position - 1;
}

/** The line of a reply that waits for its turn. */
export const waitingLine = (count, words) => words.say(count ? "waiting.ahead" : "waiting.next", { count });

/** The lines that stand under a reply. `names`: {provider(id), model(provider, model)} for people. */
export function noteLines({ notes, text, asked }, words, names) {
  return notes
    .filter(({ note }) => note in LINES && (text || !OF_A_TEXT.has(note)))
    .map(({ note, details }) => LINES[note](details, { words, names, asked }));
}

const LINES = {
  trimmed: ({ left_out: count }, { words }) => words.say(count === 1 ? "note.trimmed.one" : "note.trimmed", { count }),
  fallback: (details, { words, names, asked }) => {
    const model = names.model(details.provider, details.model);
    const first = details.asked ?? asked;
    return words.say(first ? "note.fallback" : "note.fallback.unknown", { model, asked: first && names.provider(first) });
  },
  cached: ({ seconds }, { words }) => words.say("note.cached", { time: words.duration(seconds) }),
};
