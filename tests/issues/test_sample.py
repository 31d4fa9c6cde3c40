"""The real sample, and the examples written for this project, read with the shipped configuration."""

import pytest

from mailer.config import Settings
from mailer.issues.report import ImportReport
from mailer.issues.serialize import serialize
from mailer.issues.store import read_unstored
from tests.conftest import ROOT, SHARED

SAMPLE = SHARED / "sample" / "hematology-weekly.txt"
EXAMPLES = sorted((ROOT / "examples").glob("*.md"))
needs_sample = pytest.mark.skipif(
    not SAMPLE.is_file(), reason="the sample issue stands in ../shared, which is absent"
)


def report_of(source: bytes, settings: Settings) -> ImportReport:
    return read_unstored(source, file="issue.txt", slug=None, settings=settings)


@needs_sample
def test_the_sample_imports_whole(settings: Settings) -> None:
    report = report_of(SAMPLE.read_bytes(), settings).as_json()
    counts = {
        key: report[key] for key in ("faq", "why_it_matters", "calls_to_action", "keywords", "references")
    }
    assert counts == {"faq": 6, "why_it_matters": 5, "calls_to_action": 6, "keywords": 39, "references": 8}
    assert len(report["stories"]) == 8
    assert report["unplaced"] == []


@needs_sample
def test_the_sample_gets_the_topics_that_an_editor_would_give(settings: Settings) -> None:
    report = report_of(SAMPLE.read_bytes(), settings)
    topics = [story["topics"] for story in report.as_json()["stories"]]
    assert topics == [
        *(["car-t"], ["car-t"], ["myeloma"], ["myeloma"], ["car-t", "myeloma"], []),
        *(["immunology"], ["immunology"]),
    ]
    assert [warning.field for warning in report.warnings] == ["topics.6"] + ["links"] * 6


@needs_sample
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_sample_comes_back_byte_for_byte(settings: Settings, ending: str, encoding: str) -> None:
    source = SAMPLE.read_text().replace("\n", ending).encode(encoding)
    report = report_of(source, settings)
    assert serialize(report.issue.document) == source
    assert len(report.issue.document.stories) == 8


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_imports_whole(settings: Settings, path: object) -> None:
    source = (ROOT / "examples" / str(path)).read_bytes()
    report = report_of(source, settings)
    document = report.issue.document
    assert serialize(document) == source
    assert document.unplaced == ()
    assert (len(document.stories), len(document.faq), len(document.why_it_matters)) == (8, 6, 5)
    assert (len(document.calls_to_action), len(document.references)) == (6, 8)


def test_the_examples_show_every_topic_alone_two_together_and_everyone(settings: Settings) -> None:
    report = report_of((ROOT / "examples" / "week-04.md").read_bytes(), settings)
    shown = {topics.topics for topics in report.issue.topics.values()}
    assert {(), ("car-t",), ("myeloma",), ("immunology",), ("car-t", "myeloma")} <= shown
    assert report.warnings == ()


def test_the_second_example_shows_what_warnings_look_like(settings: Settings) -> None:
    report = report_of((ROOT / "examples" / "week-05.md").read_bytes(), settings)
    assert [warning.field for warning in report.warnings] == ["topics.8"] + ["links"] * 6
