"""Workflows of Agno's AgentOS, asked as if they were models: a model's id is a workflow's.

A workflow runs in steps, some by agents, which write piece by piece, and some by functions, whose result comes whole.
Steps may run at the same time, and a step whose agent fails is tried again. What has been given away stays: once a
run has said something, its failure is the reply's.

Source: Agno 3.1 (agno/run/workflow.py, run/agent.py, os/routers/workflows/router.py), and what an AgentOS of that
version was seen to send.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import httpx
import msgspec

from chat.errors import WORTH_WAITING, Cause, ErrorCode, UpstreamError
from chat.events import FinishReason
from chat.providers.base import ChatRequest, Profile, Take
from chat.providers.http_adapter import HttpAdapter
from chat.providers.inline_history import question_of
from chat.providers.json_frames import FrameDecoder, json_object
from chat.providers.openai_options import Headers, bearer
from chat.providers.sse_reply import SSEReply
from chat.providers.token_counts import tokens_at, total

MAX_RUNS = 256
"""Runs that may speak at the same time, and steps that may stand open."""

MAX_WAITING = 1 << 20
"""Characters that wait until another run has finished."""

_ERRORS: Mapping[str, tuple[ErrorCode, Cause | None]] = {
    "model_rate_limit_error": (ErrorCode.UPSTREAM_RATE_LIMITED, None),
    "model_authentication_error": (ErrorCode.UPSTREAM_AUTH, None),
    "context_window_exceeded_error": (ErrorCode.UPSTREAM_REJECTED, Cause.CONTEXT),
    "input_check_error": (ErrorCode.CONTENT_FILTERED, None),
    "output_check_error": (ErrorCode.CONTENT_FILTERED, None),
}
"""By `error_id` or `error_type`; all others are faults of the workflow. The key that was refused is AgentOS's own."""


class _Event(msgspec.Struct, gc=False):
    event: str | None = None
    run_id: str | None = None
    parent_run_id: str | None = None
    step_id: str | None = None
    parent_step_id: str | None = None
    step_name: str | None = None
    nested_depth: int | None = None
    content: Any = None
    reasoning_content: str | None = None
    metrics: Any = None
    step_output: Any = None
    step_results: Any = None
    error_type: str | None = None
    error_id: str | None = None


_decode = FrameDecoder(_Event).decode


class Agno(HttpAdapter):
    kind = "agno"
    upstream = "sse"
    personal = True
    form = True

    def __init__(
        self,
        profile: Profile,
        *,
        base_url: str,
        api_key: str | None,
        answer: Sequence[str] = (),
        history: Literal["inline", "none"] = "inline",
        headers: Headers | None = None,
        http: httpx.AsyncBaseTransport,
    ) -> None:
        """`answer`: the names of the steps that write the answer; what the others write is shown as reasoning. Without
        it, every step's text is part of the answer, since nobody knows which step is the last. `history`: "none" sends
        nothing but the newest question."""
        self._base_url = base_url.rstrip("/")
        super().__init__(profile, self._base_url, bearer(api_key, headers), http)
        self._answer = frozenset(answer)
        self._with_history = history == "inline"

    def url(self, request: ChatRequest) -> httpx.URL:
        return httpx.URL(f"{self._base_url}/workflows/{quote(request.model, safe='')}/runs")

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """Without a session: AgentOS begins one for each run, and what was said before goes along in the text."""
        if any(turn.pictures for turn in request.turns):
            raise UpstreamError(ErrorCode.UPSTREAM_REJECTED, details={"provider": self.id, "cause": Cause.PICTURES})
        fields = {"message": question_of(request.turns, history=self._with_history), "stream": "true"}
        return fields | ({"user_id": request.user} if request.user else {})

    def reply(self, take: Take) -> _Reply:
        return _Reply(self.id, take, self._answer)

    def refine(self, error: UpstreamError, body: bytes) -> UpstreamError:
        """`{"detail": …}`; "Not Found" is what its framework says where there is no AgentOS at this address."""
        said = json_object(body)
        if error.details.get("status") != 404 or said is None or said.get("detail") in (None, "Not Found"):
            return error
        return UpstreamError(error.error_code, details={**error.details, "cause": Cause.MODEL})


class _Reply(SSEReply):
    """One run has the floor at a time, and is given away as it comes. One that speaks meanwhile is given away whole:
    its last event repeats what it has written."""

    def __init__(self, provider: str, take: Take, answer: frozenset[str]) -> None:
        super().__init__(provider, take)
        self._answer = answer
        self._floor: _Event | None = None
        # Those that are not over: whether they are given away as they come.
        self._runs: dict[str, bool] = {}
        self._waiting: list[_Event] = []
        self._waiting_chars = 0
        # By step: what its last run has written; None where that is not known yet.
        self._written: dict[str, str | None] = {}
        # What was told last, aloud and as reasoning.
        self._parts: dict[bool, str] = {}
        self._results = 0
        # By step: what its last run has failed of, until another run of it does better.
        self._failed: dict[str | None, UpstreamError] = {}

    def read_block(self, name: str, data: bytes) -> None:
        try:
            event = _decode(data)
        except ValueError:
            if not data.strip():
                return
            raise self.broken() from None
        kind = (event.event or name).removeprefix("Team")
        try:
            if event.parent_run_id is None:
                self._read_event(kind, event)
            elif kind == "RunCompleted":
                self._add_up(event)  # a member of a team: its work is the team's to tell
        except RecursionError:  # of a result that is nested too deeply to be written
            raise self.broken() from None

    def _read_event(self, kind: str, event: _Event) -> None:
        match kind:
            case "RunContent" | "ReasoningContentDelta":
                self._read_delta(event)
            case "RunCompleted":
                self._add_up(event)
                self._failed.pop(event.step_id, None)
                self._read_whole(event)
            case "RunError":
                self._read_failure(event)
            case "StepOutput":
                self._read_output(event)
            case "StepCompleted":
                if self._floor is not None and self._floor.step_id == event.step_id:
                    self._yield_floor()  # a run may end without a word, but not after its step
                self._written.pop(event.step_id or "", None)
                self._failed.pop(event.step_id, None)
            case "StepStarted" if self._failed and event.parent_step_id is None and not event.nested_depth:
                raise self._failure()  # AgentOS goes on without the step that has failed
            case "WorkflowCompleted" | "WorkflowError" | "WorkflowCancelled" | "WorkflowPaused":
                if not event.nested_depth:  # else it is the end of a step
                    self._read_end(kind, event)
        crowd = max(len(self._runs), len(self._written), len(self._waiting), len(self._failed))
        if crowd > MAX_RUNS or self._waiting_chars > MAX_WAITING:
            raise self.broken()

    def _add_up(self, event: _Event) -> None:
        """Of every run; a team's tokens are without its members'."""
        self.count(
            total(self._input_tokens, tokens_at(event.metrics, "input_tokens")),
            total(self._output_tokens, tokens_at(event.metrics, "output_tokens")),
        )

    # Who speaks

    def _read_delta(self, event: _Event) -> None:
        if not (event.content or event.reasoning_content):
            return
        run = event.run_id or ""
        if run not in self._runs:
            if self._floor is None:
                self._floor = event
            self._runs[run] = self._floor is event
        if self._runs[run]:
            self._written[event.step_id or ""] = None
            self._give(event)

    def _read_whole(self, event: _Event) -> None:
        """A run is over."""
        self._written[event.step_id or ""] = _text_of(event.content)
        if not self._runs.pop(event.run_id or "", False):
            self._give_in_turn(event)
        elif self._floor is not None and self._floor.run_id == event.run_id:
            self._yield_floor()

    def _read_output(self, event: _Event) -> None:
        """The result of a function. One that has an agent write, and passes on what it writes, repeats that here."""
        output = event.step_output if isinstance(event.step_output, dict) else {}
        step = output.get("step_id") or ""
        if output.get("success") is False:
            return  # the workflow's end says so too
        content = output.get("content")
        if step in self._written and self._written[step] in (None, _text_of(content)):
            return
        self._results += 1
        self._give_in_turn(_Event(run_id=f"result {self._results}", step_name=event.step_name, content=content))

    def _give_in_turn(self, event: _Event) -> None:
        """What is whole waits until nobody speaks."""
        if self._floor is None:
            self._give(event)
            return
        self._waiting.append(event)
        self._waiting_chars += len(_text_of(event.content)) + len(event.reasoning_content or "")

    def _yield_floor(self) -> None:
        self._floor = None
        waiting, self._waiting, self._waiting_chars = self._waiting, [], 0
        for event in waiting:
            self._give(event)

    def _give(self, event: _Event) -> None:
        run, aloud = event.run_id or "", not self._answer or event.step_name in self._answer
        self._tell(f"{run} reasoning", event.reasoning_content, aloud=False)
        self._tell(run, _text_of(event.content), aloud=aloud)

    def _tell(self, part: str, text: str | None, *, aloud: bool) -> None:
        """A blank line between the parts of what is said, and of what is thought."""
        if not text:
            return
        tell = self.say if aloud else self.think
        if self._parts.get(aloud, part) != part:
            tell("\n\n")
        self._parts[aloud] = part
        tell(text)

    # How it ends

    def _read_failure(self, event: _Event) -> None:
        """The step may be tried again, by another run."""
        error = self._of_error(event)
        self._failed[event.step_id] = error
        if self._runs.pop(event.run_id or "", False):
            raise error

    def _read_end(self, kind: str, event: _Event) -> None:
        if kind == "WorkflowError":
            raise self._of_error(event)
        if kind == "WorkflowCancelled":
            raise self.fail(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=True)
        if kind == "WorkflowPaused":  # for somebody's confirmation, which nobody can give here
            raise self.fail(ErrorCode.UPSTREAM_REJECTED)
        if self._failed or _has_failed(event.step_results):
            raise self._failure()
        self._yield_floor()
        if True not in self._parts:  # a workflow without steps, or none of them writes the answer
            self.say(_text_of(event.content))
        self.done = True
        self.finish(FinishReason.STOP)

    def _failure(self) -> UpstreamError:
        """The first that stands; a function's failed step says nothing of what it has failed of."""
        return next(iter(self._failed.values()), self.fail(ErrorCode.UPSTREAM_UNAVAILABLE, attempt_again=True))

    def _of_error(self, event: _Event) -> UpstreamError:
        by_id = _ERRORS.get(event.error_id or "") or _ERRORS.get(event.error_type or "")
        code, cause = by_id or (ErrorCode.UPSTREAM_UNAVAILABLE, None)
        return self.fail(code, attempt_again=code in WORTH_WAITING, **({} if cause is None else {"cause": cause}))

    def refused(self, body: bytes) -> UpstreamError:
        return self.broken()


def _text_of(content: Any) -> str:
    """A result that is no text is shown as JSON."""
    if content is None or isinstance(content, str):
        return content or ""
    return json.dumps(content, ensure_ascii=False)


def _has_failed(results: Any) -> bool:
    """One of the steps, or of the steps inside of one."""
    rest = [results]
    while rest:
        result = rest.pop()
        if isinstance(result, list):
            rest += result
        elif isinstance(result, dict):
            if result.get("success") is False:
                return True
            rest.append(result.get("steps"))
    return False
