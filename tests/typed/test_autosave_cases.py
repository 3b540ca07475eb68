"""Every way in which a fork ends an autosave or a binding, and changes during a save.

The emitted tests show one of each.
"""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stores.conftest import wait_for

FORKS = """
import os, sys, warnings
sys.path.insert(0, sys.argv[2])
from shaped.state import Autosave, Binding, MemoryStore, State
warnings.simplefilter("ignore")
how, values, saved, parent = sys.argv[1], [1], [], os.getpid()
class Store(MemoryStore):
    def save(self, key, value, **options):
        saved.append(value)
        if os.getpid() != parent and how != "flush":
            print("saved by the child", flush=True)
        return super().save(key, value, **options)
store = Store()
if how == "binding":
    class Document(State):
        title: str = ""
    binding = Binding(Document, store, "key", delay=60, max_wait=60)
    change = lambda: setattr(binding.state, "title", "changed")
else:
    binding = Autosave(store, "key", lambda: values, delay=60, max_wait=60)
    change = binding.changed
change()
saved.clear()
if os.fork() == 0:
    assert not binding.pending
    if how == "flush":
        binding.flush()
        assert not saved
        change()  # one of its own
        binding.flush()
        assert saved
        os._exit(0)
    if how != "exit":
        binding.close()
    sys.exit()
status = os.waitstatus_to_exitcode(os.wait()[1])
assert binding.pending and not saved
binding.close()
print(status, len(saved))
"""


@pytest.mark.parametrize("how", ["exit", "close", "flush", "binding"])
def test_a_forked_child_does_not_save_the_changes_of_its_parent(
    how: str, state: Any, source: Path
) -> None:
    assert state.__name__ in FORKS
    command = [sys.executable, "-c", FORKS, how, str(source)]
    child = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert child.stdout == "0 1\n"


class Value:
    """The value to save, which can fail."""

    def __init__(self) -> None:
        self.content = 0
        self.error: Exception | None = None
        self.meanwhile: Callable[[], object] = int

    def __call__(self) -> int:
        content = self.content
        self.meanwhile()
        if self.error:
            raise self.error
        return content


def saved(store: Any) -> Any:
    record = store.load("key")
    return record and record.value


def test_a_success_resets_the_pause_after_a_failure(
    state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{state.__name__}._debouncer._MIN_BACKOFF", 60.0)
    errors: list[Exception] = []
    store, value = state.MemoryStore(), Value()
    value.error = LookupError("no value")
    with state.Autosave(store, "key", value, delay=0, on_error=errors.append) as autosave:
        autosave.changed()
        wait_for(lambda: errors)

        def change() -> None:
            value.content, value.meanwhile = 1, int
            autosave.changed()

        value.error, value.meanwhile = None, change
        autosave.flush()
        wait_for(lambda: saved(store) == 1)


def test_threads_may_change_flush_and_close_at_the_same_time(state: Any) -> None:
    store, value, lock = state.MemoryStore(), Value(), threading.Lock()
    autosave = state.Autosave(store, "key", value, delay=0, max_wait=0)

    def work() -> None:
        for number in range(200):
            with lock:
                value.content += 1
            autosave.changed()
            if number % 50 == 0:
                autosave.flush()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    autosave.close()
    assert saved(store) == 800
