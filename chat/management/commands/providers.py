"""`manage.py providers`: which upstreams there are, in what state, and with `--check` whether they answer."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat.providers.base import Model, Provider
from chat.providers.providers_file import ProvidersFileError
from chat.providers.registry import NO_MODEL, NO_PROVIDER, NOT_ITS_MODEL, Registry
from chat.services.configured_providers import Configured, configured_for_a_while
from chat.services.no_such import no_such
from chat.services.provider_check import Checked, check_all
from chat.services.provider_listing import Listed, listed
from chat.services.provider_switches import Switched, switches_if_known


class Command(BaseCommand):
    """Ends with 1 where a checked provider failed or lacks one of its keys, else with 0."""

    requires_system_checks = []
    """A wrong providers file is told by its own words; nothing else is needed."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.description = _("Lists the providers, and checks whether they answer.")
        parser.add_argument(
            "--check", action="store_true", help=_("Asks each one a short question, which its vendor may charge for.")
        )
        help_of_provider = _("This provider alone; may be given several times.")
        parser.add_argument("--provider", metavar="ID", action="append", default=[], help=help_of_provider)
        parser.add_argument("--model", metavar="ID", help=_("Checks this model, not each provider's first."))
        parser.add_argument("--all-models", action="store_true", help=_("Checks every model."))
        parser.add_argument("--json", action="store_true", help=_("Prints a JSON object."))

    def handle(self, *args: Any, **options: Any) -> None:
        if (options["model"] or options["all_models"]) and not options["check"]:
            raise CommandError(_("--model and --all-models go with --check."))
        off = switches_if_known()
        if off is None:
            words = _("The database cannot be used, so it is not known which providers are switched off.")
            self.stderr.write(self.style.WARNING(words))
        try:
            asyncio.run(self._run(off or {}, options))
        except ProvidersFileError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            sys.exit(130)

    async def _run(self, off: Mapping[str, Switched], options: Mapping[str, Any]) -> None:
        async with configured_for_a_while() as configured:
            registry = configured.registry
            if not registry.providers.keys() >= set(options["provider"]):
                raise CommandError(no_such(NO_PROVIDER, registry.providers))
            for provider in off:
                registry.switch(provider, False)
            if options["check"]:
                pairs = list(_pairs(registry, options["provider"], options["model"], options["all_models"]))
                self._print_checks(await check_all(registry, pairs), as_json=options["json"])
            else:
                now = asyncio.get_running_loop().time()
                wanted = options["provider"] or registry.providers
                rows = [row for row in listed(registry, off, now) if row.id in wanted]
                self._print_listing(configured, rows, as_json=options["json"])

    # The list

    def _print_listing(self, configured: Configured, rows: list[Listed], *, as_json: bool) -> None:
        if as_json:
            self._print_json({"origin": configured.origin, "file": configured.file, "providers": rows})
            return
        self.stdout.write(_origin(configured))
        for row in rows:
            self.stdout.write("")
            self.stdout.write(f"{self._state(row)}  {row.id} ({row.label})")
            lines = list(_lines(row))
            width = max(len(name) for name, _value in lines)
            for name, value in lines:
                self.stdout.write(f"  {name.ljust(width)}  {value}")
        self.stdout.write("")
        words = _("Which models a running server leaves out after failures, /admin/providers/ and its metrics show.")
        self.stdout.write(words)

    def _state(self, row: Listed) -> str:
        words = {
            "ready": self.style.SUCCESS(_("ready")),
            "degraded": self.style.WARNING(_("degraded")),
            "off": self.style.ERROR(_("off")),
            "switched_off": self.style.WARNING(_("switched off")),
        }
        return words[row.state]

    # The checks

    def _print_checks(self, checks: list[Checked], *, as_json: bool) -> None:
        if as_json:
            self._print_json({"checks": [{"ok": one.ok, **msgspec.to_builtins(one)} for one in checks]})
        else:
            verdicts = (_("ok"), _("failed"), _("missing"))
            width = max(len(word) for word in verdicts)
            for one in checks:
                style = self.style.SUCCESS if one.ok else self.style.ERROR
                verdict = style(verdicts[2 if one.missing else 0 if one.ok else 1].ljust(width))
                values = {"number": one.key, "source": one.source}
                key = "" if one.key is None else _(", key %(number)d (%(source)s)") % values
                self.stdout.write(f"{verdict}  {one.provider} / {one.model}{key}")
                for line in _outcome(one):
                    self.stdout.write(f"{'':{width}}  {line}")
        if not all(one.ok for one in checks):
            sys.exit(1)

    def _print_json(self, value: dict[str, Any]) -> None:
        self.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _pairs(
    registry: Registry, named: Collection[str], model: str | None, all_models: bool
) -> Iterator[tuple[Provider, Model]]:
    """What is to be checked, of all or of those that are named. Who is switched off is asked only where it is named."""
    known = [one for one in registry.providers.values() if one.id in (named or registry.providers)]
    if model is not None:
        models = [each.id for one in known for each in one.models]
        known = [one for one in known if any(each.id == model for each in one.models)]
        if not known:
            raise CommandError(no_such(NOT_ITS_MODEL if named else NO_MODEL, models))
    for one in known:
        if not named and registry.is_switched_off(one.id):
            continue
        for each in one.models if all_models or model is not None else one.models[:1]:
            if model in (None, each.id):
                yield one, each


def _origin(configured: Configured) -> str:
    words = {
        "file": _("Declared in the providers file %(file)s:"),
        "environment": _("From the keys in the environment; no CHAT_PROVIDERS_FILE is set:"),
        "demonstration": _("Nothing is configured, so that demonstration models answer:"),
    }
    return words[configured.origin] % {"file": configured.file}


def _lines(row: Listed) -> Iterator[tuple[str, str]]:
    yield _("kind"), f"{row.kind} ({row.upstream})"
    yield _("address"), row.address
    yield _("keys"), _keys(row)
    yield _("models"), ", ".join(map(_model, row.models))
    if row.fallback:
        yield _("fallback"), ", ".join(row.fallback)
    yield _("retries"), str(row.retries)
    if row.concurrency is not None:
        limits = {"count": row.concurrency, "queue": row.queue}
        yield _("at a time"), _("%(count)d in each worker, %(queue)d more may wait") % limits
    if row.cache_seconds:
        yield _("cache"), _("%(seconds)g s") % {"seconds": row.cache_seconds}
    if row.reason:
        yield _("why"), row.reason
        yield _("what to do"), row.remedy


def _keys(row: Listed) -> str:
    if not row.keys:
        return _("none")
    if not row.keys_missing:
        return str(row.keys)
    return _("%(there)d of %(declared)d") % {"there": row.keys_there, "declared": row.keys}


def _model(model: Model) -> str:
    marks = [_("pictures")] if model.vision else []
    if model.reasoning:
        marks.append(_("reasoning"))
    if model.context is not None:
        marks.append(ngettext("%(count)d token", "%(count)d tokens", model.context) % {"count": model.context})
    return f"{model.id} ({', '.join(marks)})" if marks else model.id


def _outcome(one: Checked) -> Iterator[str]:
    if one.failure:
        yield one.failure
    if one.first_token_ms is not None:
        times = _("first token after %(first)d ms, %(all)d ms in all")
        told = [times % {"first": one.first_token_ms, "all": one.duration_ms}]
        if one.usage is not None:
            tokens = _("%(input)d tokens in, %(output)d out")
            told.append(tokens % {"input": one.usage.input_tokens, "output": one.usage.output_tokens})
        if one.finish_reason:
            told.append(one.finish_reason)
        yield "; ".join(told)
        yield f"“{one.words}”"
    if one.hint:
        yield one.hint
