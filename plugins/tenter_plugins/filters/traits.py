"""TraitFilter: only hosts with the traits that are required, and none that is forbidden."""

from __future__ import annotations

from tenter.contracts.filter import MaskFilter
from tenter.contracts.scheduling import PlacementRequest
from tenter.contracts.table import ACCEPT_ALL, Coded, HostTable, Verdicts


class TraitFilter(MaskFilter):
    """Compares a host's traits with those that extra specs (``trait:NAME=required``, ``trait:NAME=forbidden``) and
    the image's properties of the same form ask for.

    Codes: ``trait.missing``, ``trait.forbidden``, with the names. A part of the host that serves what the host itself
    has not (a GPU) may have the required trait instead; whether it is that very part is decided with the amounts.
    What resource groups ask of parts is not looked at here. Source: Placement's ``required`` of the unsuffixed group.
    """

    contract = "filter 1.0"
    prompt = True

    def mask(self, table: HostTable, request: PlacementRequest) -> Verdicts:
        """Return no for hosts that lack a trait or have one too many."""
        verdicts = ACCEPT_ALL
        if required := request.required_traits:
            missing = [sorted(required - traits) for traits in table.traits.values]
            ok = table.traits.where(required.issubset)
            for row in () if ok.all() else _with_parts(table, request):
                if not ok[row]:
                    parts = (
                        part.traits
                        for part in table.providers.get(row, ())
                        if not request.resources.keys().isdisjoint(part.resources)
                    )
                    ok[row] = required <= table.traits[row].union(*parts)
            verdicts = verdicts.also(ok, "trait.missing", traits=Coded(table.traits.codes, missing))
        if forbidden := request.forbidden_traits:
            found = [sorted(forbidden & traits) for traits in table.traits.values]
            ok = table.traits.where(forbidden.isdisjoint)
            verdicts = verdicts.also(ok, "trait.forbidden", traits=Coded(table.traits.codes, found))
        return verdicts


def _with_parts(table: HostTable, request: PlacementRequest) -> list[int]:
    """Return the rows of hosts that may serve something asked of the host as a whole from a part."""
    asked = {name for name, amount in request.resources.items() if amount}
    return [row for row, classes in table.of_parts.items() if not asked.isdisjoint(classes)]
