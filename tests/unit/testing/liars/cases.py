"""Each liar and each honest plugin under its kit, as their authors would write it; run by test_liars.py."""

from __future__ import annotations

from tenter.testing import (
    Conformance,
    ExtensionConformance,
    FeatureConformance,
    FilterConformance,
    HookConformance,
    IdentityConformance,
    ImageConformance,
    NetworkConformance,
    WeigherConformance,
)
from tests.unit.testing.liars import feature, hearing, scheduling, services

KITS: dict[str, tuple[type[Conformance], type, dict[str, object]]] = {
    "filter": (FilterConformance, scheduling.Enabled, {}),
    "weigher": (WeigherConformance, scheduling.Traits, {}),
    "feature": (FeatureConformance, feature.Tunnel, {}),
    "network": (NetworkConformance, services.Network, {"options": {"mode": "none"}}),
    "image": (ImageConformance, services.Images, {}),
    "identity": (IdentityConformance, services.Directory, {"short_lived": {"token_lifetime": 2}}),
    "notifier": (hearing.LinesConformance, hearing.Lines, {}),
    "hook": (HookConformance, hearing.Listener, {}),
    "extension": (ExtensionConformance, hearing.Extension, {}),
}
LIARS = [
    ("filter", scheduling.Moody, "same_question_same_answer"),
    ("filter", scheduling.Thief, "changes_nothing"),
    ("filter", scheduling.Trusting, "answers_for_every_host"),
    ("filter", scheduling.Boolean, "answers_for_every_host"),
    ("filter", scheduling.Speechless, "refusal_has_a_code"),
    ("filter", scheduling.Learned, "figures_are_json"),
    ("filter", scheduling.Strict, "row_stands_for_itself"),
    ("filter", scheduling.Neither, "answers_for_every_host"),
    ("filter", scheduling.Most, "row_stands_for_itself"),
    ("filter", scheduling.Counting, "row_stands_for_itself"),
    ("filter", scheduling.Recoded, "row_stands_for_itself"),
    ("filter", scheduling.First, "arrays_have_a_row_a_host"),
    ("filter", scheduling.Numbers, "arrays_have_a_row_a_host"),
    ("filter", scheduling.Brief, "arrays_have_a_row_a_host"),
    ("filter", scheduling.Busiest, "no_hosts"),
    ("filter", scheduling.Scribbles, "changes_nothing"),
    ("filter", scheduling.Locksmith, "changes_nothing"),
    ("filter", scheduling.Sorts, "changes_nothing"),
    ("filter", scheduling.Unspoken, "refusal_has_a_code"),
    ("filter", scheduling.Unwritable, "figures_are_json"),
    ("filter", scheduling.Compares, "same_question_same_answer"),
    ("weigher", scheduling.Divides, "weight_is_finite"),
    ("weigher", scheduling.Counts, "same_question_same_answer"),
    ("weigher", scheduling.Decisive, "multiplier_is_finite"),
    ("weigher", scheduling.Unversioned, "contract_is_declared"),
    ("weigher", scheduling.Share, "row_stands_for_itself"),
    ("weigher", scheduling.Ranks, "row_stands_for_itself"),
    ("weigher", scheduling.Half, "arrays_have_a_row_a_host"),
    ("weigher", scheduling.Single, "arrays_have_a_row_a_host"),
    ("weigher", scheduling.Eager, "no_hosts"),
    ("weigher", scheduling.Unmeasured, "weight_is_finite"),
    ("weigher", scheduling.Drains, "changes_nothing"),
    ("weigher", scheduling.Keyless, "aggregate_multiplier_is_a_key"),
    ("weigher", scheduling.Needy, "needs_are_known"),
    ("feature", feature.Open, "secrets_stay_secret"),
    ("feature", feature.Gossip, "secrets_stay_secret"),
    ("feature", feature.Writes, "offer_changes_nothing"),
    ("feature", feature.Tuples, "offer_is_json"),
    ("feature", feature.Local, "agree_is_a_function_of_the_offers"),
    ("feature", feature.Ordered, "order_of_keys_is_nothing"),
    ("feature", feature.Closed, "unknown_keys_are_nothing"),
    ("feature", feature.Impatient, "no_offer_is_refused"),
    ("feature", feature.Credulous, "any_offer_is_answered"),
    ("feature", feature.Stubborn, "same_hosts_agree"),
    ("network", services.Anew, "allocate_again"),
    ("network", services.HalfMade, "second_network_fails"),
    ("network", services.Sweeping, "deallocate_by_host"),
    ("network", services.Grabbing, "too_late"),
    ("network", services.Forgetful, "found_again"),
    ("network", services.Careless, "check_refuses"),
    ("network", services.Modest, "describe_names_each_power"),
    ("network", services.Boastful, "describe_names_each_power"),
    ("network", services.Once, "plug_again"),
    ("network", services.Shuffled, "allocate_in_order"),
    ("network", services.Racing, "one_instance_at_once"),
    ("network", services.Reckless, "teardown"),
    ("network", services.NewHost, "init_host_takes_over"),
    ("image", services.Public, "show_by_project"),
    ("image", services.Short, "download_is_the_data"),
    ("image", services.Shared, "downloads_at_once"),
    ("image", services.Hasty, "upload_broken_off"),
    ("image", services.Unguarded, "delete_protected"),
    ("image", services.Nosy, "list_by_project"),
    ("identity", services.Lenient, "forged_token"),
    ("identity", services.Timeless, "expired_token"),
    ("identity", services.Timeless, "change_password_ends_tokens"),
    ("identity", services.Talkative, "tokens_are_not_logged"),
    ("identity", services.Volatile, "revoke"),
    ("identity", services.Helpful, "wrong_credentials"),
    ("identity", services.Crashing, "malformed_token"),
    ("notifier", hearing.Buffers, "close_loses_nothing"),
    ("notifier", hearing.Twice, "each_arrives_once_in_order"),
    ("notifier", hearing.Narrow, "odd_payloads"),
    ("notifier", hearing.Fresh, "close_loses_nothing"),
    ("notifier", hearing.Piecemeal, "two_processes"),
    ("notifier", hearing.Deaf, "closed"),
    ("notifier", hearing.Raw, "target_away"),
    ("hook", hearing.Misspelt, "methods_are_hooks"),
    ("hook", hearing.Named, "hears_every_event"),
    ("extension", hearing.Silent, "routes"),
    ("extension", hearing.Doubled, "routes"),
    ("extension", hearing.Wide, "prefix"),
]


def case(kind: str, plugin: type) -> type[Conformance]:
    """Return the class of checks of one plugin."""
    kit, _, values = KITS[kind]
    return type(f"Test{plugin.__name__}", (kit,), {"plugin": plugin, "__module__": __name__, **values})


for _kind, _, *_ in LIARS:
    globals()[f"Test{KITS[_kind][1].__name__}"] = case(_kind, KITS[_kind][1])
for _kind, _liar, _ in LIARS:
    globals()[f"Test{_liar.__name__}"] = case(_kind, _liar)
