"""Hydration by subclasses, from pickles, and with hooks that make states.

The emitted tests show the common ways.
"""

from datetime import date
from typing import Any

import pytest

EMITTED = "test_hydration"


def test_a_subclass_may_migrate_for_its_base_and_call_its_migration(emitted: Any) -> None:
    class Director(emitted.Manager):
        @classmethod
        def __migrate__(
            cls, start_version: int, target_version: int, values: dict[str, Any]
        ) -> dict[str, Any]:
            if start_version < 3:
                values = super().__migrate__(start_version, 3, values)
            return {**values, "salary": target_version}

    director = Director.hydrate(emitted.payload_of(1, name="Ada Lovelace"))
    assert (director.first, director.salary) == ("Ada", 4)


def test_kept_unknown_values_share_nothing_with_payloads(emitted: Any) -> None:
    payload = emitted.payload_of(5, layers=[])
    tolerant = emitted.Tolerant.hydrate(payload)
    payload["values"]["layers"].append(1)
    tolerant.drain()["values"]["layers"].append(2)
    assert tolerant.drain()["values"]["layers"] == []


def test_hooks_run_after_the_whole_init_of_the_class(state: Any) -> None:
    runs: list[str] = []

    class Editor(state.State):
        title: str = "Draft"

        def __init__(self, *, fails: bool = False) -> None:
            super().__init__()
            self.title = "Report"
            if fails:
                raise ValueError("no editor")

        def __post_init__(self) -> None:
            runs.append(f"post_init of {self.title}")

        @state.effect
        def show(self) -> None:
            runs.append(f"effect of {self.title}")

    with pytest.raises(ValueError, match="no editor"):
        Editor(fails=True)
    assert runs == []
    Editor()
    assert runs == ["post_init of Report", "effect of Report"]


def test_effects_of_a_state_made_in_post_init_run_after_it(
    state: Any, emitted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Frame(state.State):
        content: state.Transient[object] = None  # pyright: ignore[reportInvalidTypeForm]

        def __post_init__(self) -> None:
            self.content = emitted.Watched(name="content")
            emitted.logger.warning("post_init of the frame")

    Frame.hydrate(emitted.payload_of(1))
    hooks = ["post_init of content", "post_init of the frame", "effect of content"]
    assert caplog.messages == hooks


def test_a_pickle_of_an_older_version_is_migrated(emitted: Any) -> None:
    person = emitted.Person.__new__(emitted.Person)
    person.__setstate__(emitted.payload_of(1, name="Ada Lovelace"))
    assert person == emitted.Person(first="Ada", last="Lovelace")


def test_a_query_is_fetched_unless_it_is_preserved_and_in_the_payload(emitted: Any) -> None:
    report = emitted.Report.hydrate(emitted.payload_of(1, year=2026, heading="Another"))
    assert (report.days, report.heading) == ([date(2026, 1, 1)], "Report of 2026")
