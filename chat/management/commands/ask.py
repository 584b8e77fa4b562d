"""`manage.py ask "…"`: one question to an upstream, answered on the terminal as the answer comes."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from chat.errors import GenerationFailed, UpstreamError
from chat.events import Finish, Note, ProviderEvent, Reasoning, Text, Usage
from chat.observation import Attempt, Run
from chat.providers import resilience
from chat.providers.base import ChatRequest, Model, Params, Provider, Turn
from chat.providers.providers_file import ProvidersFileError
from chat.providers.registry import NO_MODEL, NO_PROVIDER, NOT_ITS_MODEL, Registry, UnknownModel
from chat.providers.resilience.recovering_source import RecoveringSource
from chat.services.configured_providers import configured_for_a_while
from chat.services.no_such import no_such
from chat.services.picture_file import NotAPicture, read_picture
from chat.services.printable import printable
from chat.services.provider_failure_words import Asked, sentence
from chat.services.swept_watch import swept

INTERRUPTED = 130
"""What a command ends with that Ctrl-C has ended: 128 and the signal's number."""

DIM, PLAIN = "\x1b[2m", "\x1b[22m"


class Command(BaseCommand):
    """The answer goes to standard output, all else to standard error. Ends with 1 where there is no answer."""

    requires_system_checks = []
    """A wrong providers file is told by its own words; nothing else is needed."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.description = _("Asks an upstream one question; needs no database and no running server.")
        parser.add_argument("question", help=_("The question; - reads it from standard input."))
        parser.add_argument("--provider", metavar="ID", help=_("By default, the first that is ready."))
        parser.add_argument("--model", metavar="ID", help=_("By default, the provider's first."))
        parser.add_argument("--system", metavar="TEXT", help=_("Instructions that go before the question."))
        parser.add_argument("--temperature", type=float)
        parser.add_argument("--max-tokens", type=int)
        parser.add_argument("--image", metavar="FILE", action="append", default=[], help=_("A picture to ask about."))
        parser.add_argument("--show-reasoning", action="store_true", help=_("Shows what the model thinks, too."))
        parser.add_argument("--no-stream", action="store_true", help=_("Prints the answer once it is whole."))

    def handle(self, *args: Any, **options: Any) -> None:
        for stream in (sys.stdin, sys.stdout):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # what lacks one character still has the others
        try:
            asyncio.run(self._run(_turns(options), options))
        except (NotAPicture, ProvidersFileError) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # Whoever read has had enough; the interpreter would complain as it flushes at its end.
            with suppress(OSError):
                sys.stdout.close()
            sys.exit(1)

    async def _run(self, turns: tuple[Turn, ...], options: dict[str, Any]) -> None:
        params = Params(temperature=options["temperature"], max_tokens=options["max_tokens"])
        async with configured_for_a_while() as configured:
            registry = configured.registry
            provider, model = _choose(registry, options["provider"], options["model"])
            answer = _Answer(self, reasoning=options["show_reasoning"], stream=not options["no_stream"])
            request = ChatRequest(model.id, turns, params)
            source = RecoveringSource(registry, provider, model, request, _Told(self), tell=answer.note)
            try:
                with _quiet_log():
                    async with swept(source.watch):
                        await source.stream(answer.take)
            except UpstreamError as error:
                answer.end()
                asked = Asked(registry.declaration(source.provider), source.model)
                raise CommandError(sentence(asked, error)) from None
            answer.end()
            answer.sum_up(source)


def _choose(registry: Registry, provider: str | None, model: str | None) -> tuple[Provider, Model]:
    """Raises CommandError, which says what there is."""
    try:
        return registry.choose(provider, model)
    except UnknownModel as error:
        if error.message == NO_PROVIDER:
            raise CommandError(no_such(error.message, registry.providers)) from None
        known = [each.id for one in registry.providers.values() if provider in (None, one.id) for each in one.models]
        if error.message in (NO_MODEL, NOT_ITS_MODEL):
            raise CommandError(no_such(error.message, known)) from None
        raise CommandError(_(error.message)) from None


def _turns(options: dict[str, Any]) -> tuple[Turn, ...]:
    """Raises NotAPicture, CommandError."""
    question = options["question"]
    most = settings.CHAT_MESSAGE_CHARS
    if question == "-":
        question = sys.stdin.read(-1 if most is None else most + 1)
    question = _utf8(question)
    if most is not None and len(question) > most:
        raise CommandError(_("The question is longer than %(most)d characters.") % {"most": most})
    if not question.strip():
        raise CommandError(_("There is no question."))
    asked = Turn("user", question, tuple(read_picture(path) for path in options["image"]))
    return (Turn("system", _utf8(options["system"])), asked) if options["system"] else (asked,)


def _utf8(argument: str) -> str:
    """Bytes that are no UTF-8 come from the command line as halves of characters, which cannot be sent."""
    return argument.encode(errors="replace").decode()


@contextmanager
def _quiet_log() -> Iterator[None]:
    """What the log would tell of further attempts, the command tells itself."""
    log = logging.getLogger(resilience.__name__)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


class _Told(Run):
    """Says which attempts have failed, and which others follow."""

    def __init__(self, command: Command) -> None:
        self._command = command

    def attempt(self, provider: str, model: str, number: int, *, fallback: bool) -> Attempt:
        return _ToldAttempt(self._command, f"{provider} / {model}", number)


class _ToldAttempt(Attempt):
    def __init__(self, command: Command, who: str, number: int) -> None:
        self._command = command
        self._who = who
        self._number = number

    def ended(self, error: GenerationFailed | None) -> None:
        if error is not None:
            words = _("%(who)s, attempt %(number)d: %(code)s")
            values = {"who": self._who, "number": self._number, "code": error.code}
            self._command.stderr.write(words % values)


class _Answer:
    """Writes what comes, as it comes."""

    def __init__(self, command: Command, *, reasoning: bool, stream: bool) -> None:
        self._out, self._err = command.stdout, command.stderr
        self._reasoning = reasoning
        self._stream = stream
        self._began = time.monotonic()
        self._first: float | None = None
        self._held: list[str] = []
        self._thinking = False
        self._line_open = False
        self._usage: Usage | None = None
        self._finish = ""

    def take(self, events: Sequence[ProviderEvent]) -> None:
        self._first = self._first or time.monotonic()
        for event in events:
            if isinstance(event, Text):
                self._say(event.delta)
            elif isinstance(event, Reasoning):
                self._think(event.delta)
            elif isinstance(event, Usage):
                self._usage = event
            elif isinstance(event, Finish):
                self._finish = event.reason
        self._out.flush()

    def note(self, note: Note) -> None:
        details = ", ".join(f"{name} {value}" for name, value in note.details.items())
        self._err.write(f"{note.note}: {details}")

    def end(self) -> None:
        self._stop_thinking()
        if self._held:
            self._write("".join(self._held))
        if self._line_open:
            self._out.write("")
        self._out.flush()

    def sum_up(self, source: RecoveringSource) -> None:
        done = time.monotonic()
        told = [f"{source.provider} / {source.model}"]
        times = {"first": 1000 * ((self._first or done) - self._began), "all": 1000 * (done - self._began)}
        told.append(_("first token after %(first)d ms, %(all)d ms in all") % times)
        if self._usage is not None:
            tokens = _("%(input)d tokens in, %(output)d out")
            told.append(tokens % {"input": self._usage.input_tokens, "output": self._usage.output_tokens})
        told.append(self._finish)
        self._err.write("; ".join(told))

    def _say(self, delta: str) -> None:
        self._stop_thinking()
        text = printable(delta)
        if self._stream:
            self._write(text)
        else:
            self._held.append(text)

    def _write(self, text: str) -> None:
        if text:
            self._out.write(text, ending="")
            self._line_open = not text.endswith("\n")

    def _think(self, delta: str) -> None:
        if not self._reasoning:
            return
        dim = DIM if self._err.isatty() and not self._thinking else ""
        self._thinking = True
        self._err.write(dim + printable(delta), style_func=str, ending="")
        self._err.flush()

    def _stop_thinking(self) -> None:
        if self._thinking:
            self._thinking = False
            self._err.write(PLAIN if self._err.isatty() else "", style_func=str)
