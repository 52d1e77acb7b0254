"""Places become sites: steps of one neuron that nothing else reads in between are one site."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from graphs.assembling.naming import Key, Names
from graphs.labelling.recording import Place, Recording


@dataclass
class SiteDraft:
    """A site while it is put together.

    Args:
        entries: (vertex, rank) of each entry; None for pinned entries and single neurons, which have no ids.
        seen: where its activation can be read, see Place.
        last: the last place that joined it.
    """

    entries: list[Key] | None
    size: int
    kind: str
    path: str
    steps: list[str] = field(default_factory=list)
    is_output: bool = False
    seen: tuple[int, tuple[int, ...]] | None = None
    last: int = 0


def draft_sites(recording: Recording, names: Names) -> tuple[list[SiteDraft], list[int]]:
    """The sites in an order of computation, and the site of every place.

    A place joins the one it continues (a norm, an activation, the running sum of a residual stream) when that one has
    no other reader; of several such, the latest.
    """
    entries = [_entries(place, names) for place in recording.places]
    readers = _readers(recording)
    sources: list[list[int]] = [[] for _ in recording.places]
    for link in recording.links:
        sources[link.target].append(link.source)
    sites: list[SiteDraft] = []
    site_of: list[int] = []
    for number, place in enumerate(recording.places):
        continued = [
            s
            for s in sources[number]
            if readers[s] == 1 and _continues(recording.places[s], entries[s], place, entries[number])
        ]
        if not continued:
            known = entries[number]
            sites.append(SiteDraft(known, place.size if known is None else len(known), place.kind, place.module))
        site_of.append(site_of[max(continued)] if continued else len(sites) - 1)
        _extend(sites[site_of[-1]], place, number)
    order = _computation_order(sites, _steps(recording, site_of))
    rank = {old: new for new, old in enumerate(order)}
    return [sites[i] for i in order], [rank[s] for s in site_of]


def _steps(recording: Recording, site_of: list[int]) -> set[tuple[int, int]]:
    """(site, later site) pairs: every link and every weight."""
    links = {(site_of[link.source], site_of[link.target]) for link in recording.links}
    uses = {(u.source, u.destination) for u in recording.uses if u.source is not None and u.destination is not None}
    weights = {(site_of[source], site_of[target]) for source, target in uses}
    return {(source, target) for source, target in links | weights if source != target}


def _computation_order(sites: list[SiteDraft], steps: set[tuple[int, int]]) -> list[int]:
    """Sites after all they are computed from; where that leaves a choice, the one completed first."""
    after: list[list[int]] = [[] for _ in sites]
    waiting = [0] * len(sites)
    for source, target in steps:
        after[source].append(target)
        waiting[target] += 1
    ready = [(sites[i].last, i) for i in range(len(sites)) if not waiting[i]]
    heapq.heapify(ready)
    order = []
    while ready:
        _, site = heapq.heappop(ready)
        order.append(site)
        for target in after[site]:
            waiting[target] -= 1
            if not waiting[target]:
                heapq.heappush(ready, (sites[target].last, target))
    return order + sorted(set(range(len(sites))) - set(order), key=lambda i: sites[i].last)


def _extend(site: SiteDraft, place: Place, number: int) -> None:
    site.steps += [place.step] if place.step else []
    site.is_output |= place.is_output
    site.last, site.seen = number, place.seen or site.seen


def _entries(place: Place, names: Names) -> list[Key] | None:
    return None if place.ids is None else list(dict.fromkeys(names.keys(place.ids.numpy())))


def _readers(recording: Recording) -> list[int]:
    """How many links and weights read each place."""
    readers = [0] * len(recording.places)
    for link in recording.links:
        readers[link.source] += 1
    for use in recording.uses:
        if use.source is not None:
            readers[use.source] += 1
    return readers


def _continues(before: Place, old: list[Key] | None, after: Place, new: list[Key] | None) -> bool:
    same = old == new and (old is not None or before.size == after.size == 1)
    return same and not before.is_output and before.kind == "hidden"
