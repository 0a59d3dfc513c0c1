from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netally.api.live_view import EVERYTHING, FIELDS_OF_MOVERS, Lens, look
from netally.api.problems import ProblemError
from netally.api.visible import EVERY_HOST, VisibleHosts
from netally.store.filters.syntax import parse
from netally.store.filters.tree import And, Filter, Not, Or
from tests.filter_trees import DOMAINS, NAMES, comparisons, matches

ASKED = comparisons(wild=False).filter(lambda one: one.name in FIELDS_OF_MOVERS)
TREES: st.SearchStrategy[Filter] = st.recursive(
    ASKED,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(lambda one, two: And((one, two)), inner, inner)
        | st.builds(lambda one, two: Or((one, two)), inner, inner)
    ),
    max_leaves=4,
)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=TREES, host=st.sampled_from(NAMES), app=st.sampled_from(NAMES), domain=st.sampled_from(DOMAINS))
def test_a_mover_fits_when_the_filter_says_so(tree: Filter, host: str, app: str, domain: str) -> None:
    row = {"host": host, "app": app, "domain": domain, "app_name": app, "app_executable": ""}
    assert look(EVERY_HOST, tree).mover(host, app, domain) == matches(tree, row)


def test_hosts_are_left_out_by_sight_and_by_a_filter_on_hosts() -> None:
    lens = look(VisibleHosts(frozenset(["a", "b"])), parse("host != b"))
    assert [name for name in ("a", "b", "c") if lens.host(name)] == ["a"]
    assert lens.whole_hosts
    assert not lens.mover("c", "curl", "")
    # Of a filter on applications every visible host is asked for its movers.
    lens = look(VisibleHosts(frozenset(["a"])), parse("app = curl"))
    assert (lens.host("a"), lens.host("b"), lens.whole_hosts) == (True, False, False)


def test_views_of_the_same_are_one() -> None:
    assert look(EVERY_HOST, parse("APP = curl")).view == look(EVERY_HOST, parse(" app   = curl")).view
    assert Lens().view == EVERYTHING.view
    assert look(VisibleHosts(frozenset("a")), parse("")).view != EVERYTHING.view


def test_what_samples_do_not_tell_is_refused_with_its_place() -> None:
    with pytest.raises(ProblemError) as caught:
        look(EVERY_HOST, parse("app = curl and port = 443"))
    found = caught.value.problem
    assert (found.status, found.parameter, found.start, found.end) == (422, "filter", 15, 25)
    assert "live samples do not tell port" in found.detail
