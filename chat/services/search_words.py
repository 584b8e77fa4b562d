"""Words, as the search knows them: how a text is cut into them, what a query asks for, and where a text has it.

A word is a run of letters and digits, in lower case and in Unicode's compatibility form (NFKC). In scripts that put no
spaces between their words (Chinese, Japanese, Thai …), and in Korean, whose words carry endings, each character is a
word of its own: what was asked for then is a phrase of them, and found wherever it stands.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

QUERY_CHARS = 200
"""Of a query: nobody types more, and each word of it costs a look into the index."""

WORD_CHARS = 64
"""Of a longer word the beginning counts."""

PREFIX_CHARS = 2
"""From so many letters on, the last word of a query may be the beginning of one: the words that begin with a single
letter are too many to be worth it."""

PIECE_CHARS = 20_000
"""A longer text is cut into words piece by piece: other threads get their turn between them."""

SNIPPET_CHARS = 160
BEFORE_CHARS = 40
"""How much of a snippet stands before what was found."""

_SINGLE = (
    "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Myanmar, Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3041-\u30fa\u30fc-\u312f\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff"  # kana, Bopomofo …
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Chinese characters
    "\uac00-\ud7a3\uff66-\uff9f"  # Hangul; narrow kana
    "\u2600-\u27bf\U0001f300-\U0001faff"  # pictures
)
_WORD = re.compile(rf"[\uff66-\uff9d][\uff9e\uff9f]|[{_SINGLE}]|[^\W_{_SINGLE}]+")
_GAP = re.compile(r"\s")
_QUOTED = re.compile(r'["“”„«»]([^"“”„«»]*)(?:["“”„«»]|$)|(\S+?)(?=["“”„«»\s]|$)')


@dataclass(frozen=True, slots=True)
class Term:
    """Words that must stand one after the other; with `prefix`, the last may go on."""

    words: tuple[str, ...]
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a text. `highlights`: from and to, in its characters (Unicode's code points), in order."""

    text: str
    highlights: list[tuple[int, int]]


def words_of(text: str) -> list[str]:
    """In order, as often as they come."""
    words: list[str] = []
    for piece in _pieces(text):
        words += [word[:WORD_CHARS] for word in _WORD.findall(_folded(piece))]
    return words


def terms_of(query: str) -> list[Term]:
    """Each must be found. What is in quotation marks is a phrase, and so is what has no space in it: `data-base`,
    `数据库`. The last word may be the beginning of one, unless it is in quotation marks."""
    terms: list[Term] = []
    prefix = False
    for match in _QUOTED.finditer(query):
        words = tuple(words_of(match[0]))
        if words:
            terms.append(Term(words))
            prefix = match[1] is None and len(words[-1]) >= PREFIX_CHARS
    if prefix:
        terms[-1] = Term(terms[-1].words, prefix=True)
    return list(dict.fromkeys(terms))


def snippet(text: str, terms: Sequence[Term], within: int | None = None) -> Snippet | None:
    """The first place of the text where one of the terms stands, with all of them in its neighbourhood marked; None
    where none stands, in so many of its characters."""
    text = unicodedata.normalize("NFC", text)
    looked_at = text if within is None else text[: within + WORD_CHARS]  # of its last word, all that counts
    found = next(_ranges(looked_at, 0, terms), None)
    if found is None or (within is not None and found[0] >= within):
        return None
    start = max(0, found[0] - BEFORE_CHARS)
    if start and (gap := _GAP.search(text, start, found[0])):
        start = gap.end()  # not in the middle of a word
    end = min(len(text), max(start + SNIPPET_CHARS, found[1]))
    marked = [
        (first - start, min(last, end) - start)
        for first, last in _merged(_ranges(text[: end + WORD_CHARS], start, terms))
        if first < end
    ]
    return Snippet(text[start:end], marked)


def beginning(text: str) -> Snippet:
    """For a text whose place is not known."""
    return Snippet(unicodedata.normalize("NFC", text)[:SNIPPET_CHARS], [])


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > PIECE_CHARS:
        # At a space, if there is one near: what is cut at a character of Chinese is whole in any case.
        gap = _GAP.search(text, start + PIECE_CHARS, start + PIECE_CHARS + WORD_CHARS)
        end = start + PIECE_CHARS if gap is None else gap.end()
        yield text[start:end]
        start = end
    yield text[start:]


def _tokens(text: str, start: int) -> Iterator[tuple[str, int, int]]:
    """Word, and from and to in the text; several words of one place where a character stands for several."""
    if text.isascii():
        for match in _WORD.finditer(text.lower(), start):
            yield match[0][:WORD_CHARS], match.start(), match.end()
        return
    for match in _WORD.finditer(text, start):
        for word in _WORD.findall(_folded(match[0])):
            yield word[:WORD_CHARS], match.start(), match.end()


def _ranges(text: str, start: int, terms: Sequence[Term]) -> Iterator[tuple[int, int]]:
    """Where the terms stand, by their beginnings."""
    longest = max(len(term.words) for term in terms)
    by_first: defaultdict[str, list[Term]] = defaultdict(list)
    for term in terms:
        by_first[term.words[0]].append(term)
    open_ended = [term for term in terms if term.prefix and len(term.words) == 1]
    tokens = _tokens(text, start)
    ahead = deque(islice(tokens, longest))
    while ahead:
        word, begin, end = ahead[0]
        for term in by_first.get(word, ()):
            if term not in open_ended and _stands(term, ahead):
                yield begin, ahead[len(term.words) - 1][2]
        if any(word.startswith(term.words[0]) for term in open_ended):
            yield begin, end
        ahead.popleft()
        ahead.extend(islice(tokens, 1))


def _stands(term: Term, tokens: Sequence[tuple[str, int, int]]) -> bool:
    """Whose first word is there."""
    last = len(term.words) - 1
    if last >= len(tokens) or any(term.words[place] != tokens[place][0] for place in range(1, last)):
        return False
    found = tokens[last][0]
    return found.startswith(term.words[last]) if term.prefix else found == term.words[last]


def _merged(ranges: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in ranges:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
