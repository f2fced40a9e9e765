"""JsonFilter: its language, with the examples of Nova's guide, and that nothing makes it raise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenter.contracts.scheduling import Hypervisor, Resource
from tenter.testing.strategies import json_values
from tenter_plugins.filters.json_query import MAX_DEPTH, OPERATORS, JsonFilter, Malformed, parse
from tests.unit.filters.world import ask, host, make, refused

HOST = host(
    "h1", node="node.example", instances=3,
    hypervisor=Hypervisor("QEMU", 8002001, {"cpu_info": {"arch": "x86_64"}, "gpus": 2}),
    resources={"VCPU": Resource(8, 2), "MEMORY_MB": Resource(2048, 512, 512), "DISK_GB": Resource(100, 20)},
)  # fmt: skip


@pytest.mark.parametrize(
    ("query", "accepted"),
    [
        ([">=", "$free_ram_mb", 1024], True), ([">=", "$free_ram_mb", 1025], False),
        (["and", [">=", "$free_ram_mb", 1024], [">=", "$free_disk_mb", 80 * 1024]], True),
        (["and", [">=", "$free_ram_mb", 1024], [">=", "$free_disk_mb", 81 * 1024]], False),
        (["or", [">", "$free_ram_mb", 4096], ["=", "$hypervisor_hostname", "node.example"]], True),
        (["=", "$total_usable_ram_mb", 2048], True), (["<", "$vcpus_used", "$vcpus_total"], True),
        (["<=", "$vcpus_used", 2], True), (["<", "$vcpus_used", 2], False),
        (["in", "$hypervisor_hostname", "other", "node.example"], True),
        (["in", "$hypervisor_hostname", "other"], False),
        (["not", ["=", "$vcpus_used", 2]], False), (["not", ["=", "$vcpus_used", 3]], True),
        (["and", ["not", ["=", "$vcpus_used", 2]]], False), (["not", True, False], True),
        (["=", "$cpu_info.arch", "x86_64"], True), (["=", "$stats.gpus", 2], True), (["=", "$gpus", 2], True),
        (["=", "$num_instances", 3, 3], True), (["=", "$num_instances", 3, 4], False),
        # what has no value is left out
        ([">=", "$none", 1], False), (["=", "$cpu_info.none.none", "x"], False), (["=", "$free_ram_mb.x", 1], False),
        (["or"], False), (["and"], True), (["="], False), (["=", 1], False), (["=", "", 1, 1], True),
        # what cannot be compared is not so
        (["<", "$free_ram_mb", "9999"], False), ([">", "$hypervisor_hostname", 1], False),
        ([], True), (["and", []], True),
    ],
)  # fmt: skip
def test_queries(tmp_path: Path, query: list[Any], accepted: bool) -> None:
    judge = make(JsonFilter, tmp_path)
    for form in (json.dumps(query), [json.dumps(query)], query if len(query) > 1 else json.dumps(query)):
        assert judge.accepts(HOST, ask(hints={"query": form})).ok is accepted, form


def test_without_a_query_no_host_is_asked(tmp_path: Path) -> None:
    judge = make(JsonFilter, tmp_path)
    for hints in ({}, {"query": ""}, {"query": None}, {"query": []}):
        assert not judge.applies(ask(hints=hints)) and judge.accepts(HOST, ask(hints=hints)).ok
    assert judge.applies(ask(hints={"query": "[]"}))


def test_the_figures_are_the_numbers_that_were_asked_about_and_no_names(tmp_path: Path) -> None:
    query = ["or", [">", "$free_ram_mb", 4096], ["=", "$hypervisor_hostname", "x"], [">", "$none", 1]]
    found = refused(make(JsonFilter, tmp_path), [HOST], ask(hints={"query": json.dumps(query)}))
    assert found == {"h1": ("query.unmet", {"free_ram_mb": 1024})}


@pytest.mark.parametrize(
    "query",
    ["", '["not", "json"', '{"=": 1}', '["~", 1]', '[["="]]', "7", '"="', "true", '["=", {"a": 1}]', '["and", ["xor"]]',
     "[" * 100000, json.dumps(["and", "x"])[:-1], '["=", NaN', {"=": 1}, 7, {"a": 1}],
)  # fmt: skip
def test_what_is_no_query_refuses_all_and_says_why(tmp_path: Path, query: object) -> None:
    found = refused(make(JsonFilter, tmp_path), [HOST], ask(hints={"query": query}))
    if not query:
        assert found == {}
        return
    assert found["h1"][0] == "query.malformed" and found["h1"][1]["error"]


def test_a_query_may_be_nested_only_so_deep() -> None:
    def nested(depth: int) -> Any:
        return ["and", nested(depth - 1)] if depth > 1 else ["and"]

    assert parse(nested(MAX_DEPTH)) is not None
    with pytest.raises(Malformed, match="nested deeper"):
        parse(nested(MAX_DEPTH + 1))


TERMS = st.recursive(
    json_values() | st.sampled_from(("$free_ram_mb", "$cpu_info", "$cpu_info.arch", "$", "$.", "$stats.gpus", "$none")),
    lambda inner: st.builds(lambda name, terms: [name, *terms], st.sampled_from([*OPERATORS, "xor"]), st.lists(inner)),
    max_leaves=12,
)


@given(TERMS | st.text())
def test_any_text_is_a_query_or_malformed_and_a_query_answers(query: Any) -> None:
    judge = JsonFilter(None)  # type: ignore[arg-type]
    for form in (query, json.dumps(query)):
        verdict = judge.accepts(HOST, ask(hints={"query": form}))
        assert verdict.ok or verdict.code in ("query.unmet", "query.malformed")
        json.dumps(dict(verdict.figures), allow_nan=False)
