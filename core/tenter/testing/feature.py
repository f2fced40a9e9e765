"""The conformance kit of migration features."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st

from tenter.contracts.migration import (
    Agreement,
    AgreeRequest,
    MigrationFeature,
    Offer,
    OfferRequest,
    Refusal,
    Side,
)
from tenter.testing.general import PluginConformance, contents, kept_quiet
from tenter.testing.strategies import for_all, json_objects, json_values, offers

INSTANCE = "c0ffee00-0000-4000-8000-000000000001"
PREFIX = "a_key_of_a_newer_release_"


class FeatureConformance(PluginConformance):
    """What must hold of a migration feature::

        class TestAcme(FeatureConformance):
            plugin = AcmeFeature

    ``capabilities``: what the virt driver of both hosts can do, as a feature is told it. ``works``: whether the
    offers of two hosts that are set up alike must come to an agreement on this machine.
    """

    kind: ClassVar[str] = "feature"
    base = MigrationFeature
    capabilities: ClassVar[Mapping[str, Mapping[str, Any]]] = {"live_migration": {}}
    works: ClassVar[bool] = True

    @pytest.fixture
    def source(self, make: Callable[..., Any]) -> MigrationFeature:
        """The feature on the host that the instance leaves."""
        feature: MigrationFeature = make(host="leaves")
        return feature

    @pytest.fixture
    def destination(self, make: Callable[..., Any]) -> MigrationFeature:
        """The feature on the host that the instance goes to."""
        feature: MigrationFeature = make(host="arrives")
        return feature

    def offered(self, feature: MigrationFeature, side: Side) -> Offer | None:
        """Return what the feature offers on one side."""
        return feature.offer(OfferRequest(INSTANCE, side, feature.setup.host, self.capabilities))

    def pair(self, source: MigrationFeature, destination: MigrationFeature) -> AgreeRequest:
        """Return both sides' offers; skips where one of them makes none."""
        both = self.offered(source, "source"), self.offered(destination, "destination")
        if None in both:
            pytest.skip("the feature offers nothing here")
        return AgreeRequest(INSTANCE, *both)

    def test_offer_is_json(self, source: MigrationFeature, destination: MigrationFeature) -> None:
        """An offer is JSON that arrives as it was sent, and its secrets are text."""
        for offer in (self.offered(source, "source"), self.offered(destination, "destination")):
            if offer is not None:
                _assert_json(offer.data)
                assert all(isinstance(part, str) for pair in offer.secrets.items() for part in pair)

    def test_offer_changes_nothing(self, source: MigrationFeature, state_dir: Path) -> None:
        """To offer changes nothing: the request and the state directory are as before."""
        request = OfferRequest(INSTANCE, "source", source.setup.host, copy.deepcopy(dict(self.capabilities)))
        before = copy.deepcopy(request), contents(state_dir)
        source.offer(request)
        assert (request, contents(state_dir)) == before

    def test_offer_without_capabilities(self, source: MigrationFeature) -> None:
        """A host whose driver can do nothing, or things that nobody knows, gets an offer or None, never an error."""

        @for_all(capabilities=json_objects().map(lambda found: {key: {"value": value} for key, value in found.items()}))
        def check(capabilities: dict[str, dict[str, Any]]) -> None:
            for given in ({}, capabilities):
                offer = source.offer(OfferRequest(INSTANCE, "source", "leaves", given))
                assert offer is None or isinstance(offer, Offer)

    def test_secrets_stay_secret(
        self, source: MigrationFeature, destination: MigrationFeature, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Secrets stand in no offer's data, in nothing that is printed or logged, and in no answer."""
        caplog.set_level("DEBUG")
        request = self.pair(source, destination)
        found = [value for offer in (request.source, request.destination) if offer for value in offer.secrets.values()]
        if not found:
            pytest.skip("the feature has no secrets")
        told = repr(request) + repr(source.agree(request)) + repr([request.source, request.destination])
        for offer in (request.source, request.destination):
            told += json.dumps(dict(offer.data) if offer else None, ensure_ascii=False)
        assert not [value for value in found if value in told], "a secret can be read"
        kept_quiet(caplog, *found)

    def test_same_hosts_agree(self, source: MigrationFeature, destination: MigrationFeature) -> None:
        """Two hosts that are set up alike come to an agreement, and the agreement is JSON."""
        if not self.works:
            pytest.skip("the feature does not work on this machine")
        answer = source.agree(self.pair(source, destination))
        assert isinstance(answer, Agreement), f"no agreement: {answer!r}"
        _assert_json(answer.data)

    def test_agree_is_a_function_of_the_offers(
        self, source: MigrationFeature, destination: MigrationFeature, make: Callable[..., Any]
    ) -> None:
        """The same two offers have the same answer, on either host and on a third, and are not changed by it."""
        third = make(host="elsewhere")

        @for_all(request=self._requests(source, destination))
        def check(request: AgreeRequest) -> None:
            before = copy.deepcopy(request)
            answers = [feature.agree(request) for feature in (source, destination, third, source)]
            assert request == before, "agree() changed an offer"
            assert all(answer == answers[0] for answer in answers), f"the hosts do not say the same: {answers}"

    def test_order_of_keys_is_nothing(self, source: MigrationFeature, destination: MigrationFeature) -> None:
        """The order of the keys of an offer does not matter."""

        @for_all(request=self._requests(source, destination))
        def check(request: AgreeRequest) -> None:
            turned = AgreeRequest(INSTANCE, _turned(request.source), _turned(request.destination))
            assert source.agree(turned) == source.agree(request), "the order of keys changes the answer"

    def test_unknown_keys_are_nothing(self, source: MigrationFeature, destination: MigrationFeature) -> None:
        """Keys that a newer release adds to an offer do not change the answer."""
        request = self.pair(source, destination)
        expected = source.agree(request)

        @for_all(more=json_objects(), secret=json_values().map(str))
        def check(more: dict[str, Any], secret: str) -> None:
            more = {PREFIX + key: value for key, value in more.items()}
            for sides in ((more, {}), ({}, more), (more, more)):
                newer = [
                    Offer({**offer.data, **extra}, {**offer.secrets, PREFIX: secret} if extra else offer.secrets)
                    for offer, extra in zip((request.source, request.destination), sides, strict=True)
                    if offer is not None
                ]
                assert source.agree(AgreeRequest(INSTANCE, *newer)) == expected

    def test_no_offer_is_refused(self, source: MigrationFeature, destination: MigrationFeature) -> None:
        """Where a side made no offer there is a Refusal, with a sentence for the user."""
        both = self.offered(source, "source"), self.offered(destination, "destination")
        for pair in ((None, None), (both[0], None), (None, both[1])):
            answer = source.agree(AgreeRequest(INSTANCE, *pair))
            assert isinstance(answer, Refusal), f"{pair} gave {answer!r}"
            assert len(answer.reason.split()) > 1, f"{answer.reason!r} is no sentence"

    def test_any_offer_is_answered(self, source: MigrationFeature, destination: MigrationFeature) -> None:
        """Whatever the offers hold, there is an answer: an Agreement of JSON, or a Refusal with a sentence."""

        true = self.offered(source, "source"), self.offered(destination, "destination")
        for altered in _altered(true[0]):
            _assert_answer(source.agree(AgreeRequest(INSTANCE, altered, true[1])))
        for altered in _altered(true[1]):
            _assert_answer(source.agree(AgreeRequest(INSTANCE, true[0], altered)))

        @for_all(100, request=self._requests(source, destination))
        def check(request: AgreeRequest) -> None:
            _assert_answer(source.agree(request))

    def _requests(self, source: MigrationFeature, destination: MigrationFeature) -> Any:
        """Requests of arbitrary offers, and of true ones of which a part has become something else."""
        sides = self.offered(source, "source"), self.offered(destination, "destination")
        return st.builds(AgreeRequest, st.just(INSTANCE), *map(_one_like, sides))


def _one_like(true: Offer | None) -> st.SearchStrategy[Offer | None]:
    anything = st.none() | offers()
    if true is None:
        return anything
    data, secrets = dict(true.data), true.secrets
    altered = st.dictionaries(st.sampled_from(sorted(data) or [""]), json_values(), max_size=2)
    return anything | st.just(true) | altered.map(lambda other: Offer({**data, **other}, secrets))


def _altered(true: Offer | None) -> Iterator[Offer]:
    """Yield the offer with one part missing, or of another type."""
    if true is None:
        return
    for key in true.data:
        rest = {name: value for name, value in true.data.items() if name != key}
        yield Offer(rest, true.secrets)
        oddities: tuple[Any, ...] = (None, True, -1, 1e300, "", "no such thing", [], [None], [[]], {}, {"": None})
        for odd in oddities:
            yield Offer({**rest, key: odd}, true.secrets)
    if true.secrets:
        yield Offer(true.data)


def _assert_answer(answer: object) -> None:
    if isinstance(answer, Agreement):
        _assert_json(answer.data)
    else:
        assert isinstance(answer, Refusal), f"agree() returned {answer!r}"
        assert len(answer.reason.split()) > 1, f"{answer.reason!r} is no sentence"


def _assert_json(data: Mapping[str, Any]) -> None:
    arrived = json.loads(json.dumps(dict(data), allow_nan=False))
    assert arrived == dict(data), "it does not arrive as it was sent"


def _turned(value: Any) -> Any:
    if isinstance(value, Offer):
        return Offer(_turned(dict(value.data)), _turned(dict(value.secrets)))
    if isinstance(value, dict):
        return {key: _turned(value[key]) for key in reversed(value)}
    return [_turned(each) for each in value] if isinstance(value, list) else value
