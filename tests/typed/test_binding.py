"""A binding keeps its promises on every store: the emitted tests try the common ones on one."""

import sys
from pathlib import Path

from support import render, run

# The fixture of the emitted tests; without it, pytest would use those of the conftest here.
ONE_STORE = '''@pytest.fixture
def store() -> Iterator[BackingStore]:
    """Return an empty store."""
    with MemoryStore() as store:
        yield store


'''

# Added to the emitted tests, with whose classes and fixtures these run.
MORE = """

class TestMore:
    def test_a_listener_may_flush_the_change_that_is_being_notified(
        self, bind: Bind, store: BackingStore
    ) -> None:
        def flush_elsewhere(change: Change) -> None:
            thread = threading.Thread(target=binding.flush)
            thread.start()
            thread.join(10)
            titles.append(stored(store)["title"])

        titles: list[str] = []
        document = Document()
        document.on_change(flush_elsewhere)
        binding = bind(create=lambda: document)
        document.on_change(lambda change: binding.flush())
        document.title = "Report"
        assert titles == ["Report"]

    def test_a_change_before_the_watch_began_is_applied(self, store: BackingStore) -> None:
        class Late(Document):
            def __post_init__(self) -> None:
                if not late:
                    late.append(save(store, title="Late"))

        late: list[Record] = []
        save(store, title="Early")
        with Binding(Late, store, "key") as document:
            assert document.title == "Late"

    def test_inner_states_are_replaced_and_run_their_hooks(
        self, store: BackingStore, wait_for: WaitFor
    ) -> None:
        runs: list[str] = []

        class Author(State):
            name: str

            def __post_init__(self) -> None:
                runs.append(f"made {self.name}")

            @effect
            def greet(self) -> None:
                runs.append(f"hello {self.name}")

        class Book(State):
            author: Author

        Binding(Book, store, "key", create=lambda: Book(author=Author(name="Ada"))).close()
        with Binding(Book, store, "key") as book:
            runs.clear()
            store.save("key", Book(author=Author(name="Bob")).drain())
            wait_for(lambda: book.author.name == "Bob" and len(runs) >= 4)
        assert runs == ["made Bob", "hello Bob"] * 2

    def test_a_record_that_was_deleted_meanwhile_is_stored_again(
        self, bind: Bind, store: BackingStore
    ) -> None:
        binding = bind()
        store.delete("key")
        binding.state.title = "Mine"
        binding.flush()
        assert stored(store)["title"] == "Mine"

    def test_a_listener_may_close_the_binding_of_a_merged_change(
        self, bind: Bind, store: BackingStore
    ) -> None:
        binding = bind()
        binding.state.title = "Mine"
        save(store, text="theirs")
        binding.state.on_change(lambda change: binding.close())
        # In a thread, so that it cannot hang.
        thread = threading.Thread(target=binding.flush, daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        assert stored(store) == {"title": "Mine", "text": "theirs", "tags": []}

    def test_an_older_record_that_another_has_stored_is_kept_too(
        self, bind: Bind, store: BackingStore, wait_for: WaitFor
    ) -> None:
        binding = bind(Page, create=lambda: Page(name="New"), follow=True)
        store.save("key", OLD)
        wait_for(lambda: binding.state.name == "Draft")
        binding.state.name = "Report"
        binding.flush()
        assert [stored(store, key) for key in store.keys("key.v1-")] == [OLD["values"]]

    def test_an_older_record_that_cannot_be_migrated_is_not_copied(
        self, bind: Bind, store: BackingStore
    ) -> None:
        binding = bind(Page, create=lambda: Page(name="New"))
        store.save("key", {"__version__": 1, "values": {"title": 5}})
        binding.state.name = "Report"
        for _ in range(2):
            with pytest.raises(HydrationError):
                binding.flush()
        assert store.keys() == ["key"]

    def test_a_newer_record_is_rejected_when_it_is_loaded(
        self, bind: Bind, store: BackingStore
    ) -> None:
        before = store.save("key", NEWER)
        with pytest.raises(StateVersionError, match="the newer 2"):
            bind()
        assert store.load("key") == before
"""
STORES = ["json", "sqlite", "redis"]


def test_the_emitted_tests_of_bindings_pass_on_every_store(tmp_path: Path) -> None:
    project = tmp_path / "project"
    render(project, project_type="library", include_typed_state=True, state_stores=STORES)
    tests = project / "tests/state/typed/test_binding.py"
    text = tests.read_text()
    assert ONE_STORE in text
    tests.write_text(text.replace(ONE_STORE, "") + MORE)
    # In place of the configuration of the project, whose plugins need not be here.
    (project / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    # Its own folder, for others remove the old ones of the common folder at the same time.
    own = ("--import-mode=importlib", f"--basetemp={tmp_path / 'own'}")
    command = [sys.executable, "-m", "pytest", "-v", *own, str(tests)]
    lines = run(*command, cwd=project, env={"PYTHONPATH": "src"}).stdout.splitlines()
    passed = [sum(f"[{store}] PASSED" in line for line in lines) for store in ["memory", *STORES]]
    assert passed[0] > 30
    assert len({*passed}) == 1
