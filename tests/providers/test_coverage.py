"""The table of what was tried with which upstream says what the reports say."""

from __future__ import annotations

from pathlib import Path

from tests.providers.coverage import document

COLUMNS = ["spark", "openai_chat", "openai_responses"]
REPORT = """<testsuites><testsuite>
<testcase classname="tests.providers.test_contract" name="test_a_failure_has_its_code[429-spark]"/>
<testcase classname="tests.providers.test_contract" name="test_a_failure_has_its_code[429-openai_chat]">
  <failure message="no"/></testcase>
<testcase classname="tests.providers.test_captures" name="test_a_refusal_has_its_code[openai_responses-#1]"/>
<testcase classname="tests.providers.test_captures" name="test_a_refusal_has_its_code[openai_responses-#2]">
  <error message="no"/></testcase>
<testcase classname="tests.providers.test_captures" name="test_it_is_left_out[spark]"><skipped/></testcase>
<testcase classname="tests.providers.test_captures" name="test_it_is_about_no_upstream"/>
<testcase classname="tests.test_logs" name="test_it_is_of_another_suite[spark]"/>
</testsuite></testsuites>"""

TABLE = """### Against the protocol's simulator

| what is tried | spark | openai_chat |
| --- | :-: | :-: |
| a failure has its code: 429 | ✓ | ✗ |

### Against the captured stream

| what is tried | openai_responses |
| --- | :-: |
| a refusal has its code | ✓✗ |
"""


def test_every_mark_is_a_test_that_has_run(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert document([report], COLUMNS) == TABLE
