"""The tried answers: every pair of two answers, and each type of project with all and nothing."""

from collections.abc import Mapping
from typing import Any

from allpairspy import AllPairs
from support import questions

PROJECT_TYPES: list[str] = list(questions()["project_type"]["choices"].values())
SWITCHES = [name for name in questions() if name.startswith("include_")]
STORES = tuple(questions()["state_stores"]["choices"].values())

LONG_NAME = "a-name-as-long-as-a-project-may-have"
# Values that are hard to render, and the defaults.
VALUES: dict[str, list[Any]] = {
    "project_type": PROJECT_TYPES,
    "project_name": ["sample", "Weather.Station-2", LONG_NAME],
    "package_name": ["sample", LONG_NAME.replace("-", "_")],
    "project_description": [
        'Says "hello" to C:\\new & <everyone>, 100 % #1 *at* once: `a`_b_ 🌦',
        "It's ${HOME} {: .class} | table",
        "Plain",
    ],
    "author_name": ["", 'Ada "Countess" O\'Lovelace \\ Söhne', "Ada"],
    "author_email": ["", "ada+code@mail.example.org"],
    "repository_owner": ["", "ada-lovelace"],
    "license": list(questions()["license"]["choices"].values()),
    "python_version": questions()["python_version"]["choices"],
    "layout": list(questions()["layout"]["choices"].values()),
    "state_stores": [(), ("json",), ("sqlite",), ("redis",), STORES],
    **{name: [True, False] for name in SWITCHES},
}
# The services, which may have a container image.
SERVICES = ("daemon", "mcp_server", "state_server", "web_service")
# The questions that only a new project gets, and those that only an existing one gets.
NOT_ASKED = {
    "modules_only": {
        "project_name",
        "project_description",
        "author_name",
        "author_email",
        "repository_owner",
        "license",
        "python_version",
        "include_example",
        "include_container",
        "include_agents_md",
        "include_github_actions",
        "include_pre_commit",
    },
    **{kind: {"layout", "modules_package"} for kind in PROJECT_TYPES if kind != "modules_only"},
}
for _kind in {*PROJECT_TYPES} - {*SERVICES, "modules_only"}:
    NOT_ASKED[_kind] |= {"include_container"}
# A state server implies these.
NOT_ASKED["state_server"] |= {"include_persistence_helpers", "include_typed_state"}
# The example needs these, and the stores need the second of them; a state server has its own.
EXAMPLE_NEEDS = ("include_api_utilities", "include_persistence_helpers")
# The dashboard needs this type of project, and this store.
HOOK_NEEDS = ("web_service", "redis")
# Live state needs this type of project, and this feature.
LIVE_NEEDS = ("web_service", "include_typed_state")


def asked(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers without those to questions that are not asked."""
    not_asked = set(NOT_ASKED[answers["project_type"]])
    if answers["project_type"] != "state_server":
        if not all(answers.get(name, True) for name in EXAMPLE_NEEDS):
            not_asked.add("include_example")
        if not answers.get("include_persistence_helpers", True):
            not_asked |= {"include_typed_state", "state_stores"}
    kind, store = HOOK_NEEDS
    stores = () if "state_stores" in not_asked else answers.get("state_stores", ())
    if answers["project_type"] != kind or store not in stores:
        not_asked.add("include_react_hook")
    kind, typed = LIVE_NEEDS
    if answers["project_type"] != kind or typed in not_asked or not answers.get(typed):
        not_asked.add("include_live_state")
    asked = {name: value for name, value in answers.items() if name not in not_asked}
    # Copier takes a list, where pairs are made of hashable values.
    return {name: [*value] if isinstance(value, tuple) else value for name, value in asked.items()}


def pairwise() -> list[dict[str, Any]]:
    """Return sets of answers in which every pair of values of two questions occurs."""
    return [asked(dict(zip(VALUES, case, strict=True))) for case in AllPairs(list(VALUES.values()))]


def everything(project_type: str, **more: Any) -> dict[str, Any]:
    """Return the answers that switch everything on."""
    switches = dict.fromkeys(SWITCHES, True)
    return asked({"project_type": project_type, **switches, "state_stores": STORES, **more})


def nothing(project_type: str, **more: Any) -> dict[str, Any]:
    """Return the answers that switch everything off."""
    switches = dict.fromkeys(SWITCHES, False)
    return asked({"project_type": project_type, **switches, "state_stores": [], **more})


def label(answers: Mapping[str, Any]) -> str:
    """Name a set of answers in a test's id."""
    on = [name.removeprefix("include_") for name in SWITCHES if answers.get(name)]
    on += answers.get("state_stores", [])
    return f"{answers['project_type']}-{'+'.join(on) or 'nothing'}"
