"""Groups without members, that stand still, or whose place is gone."""

from streamdet.cluster import GroupState, Look, Offsets
from streamdet.doctor.group import check_members, check_offsets
from streamdet.types import Partition
from tests.doctor.facts import UNTOLD, only, statuses

PLACES = [Partition("points", i) for i in range(2)]
EMPTY = GroupState("EMPTY", (), frozenset(), None)


def group(n_members=1, assigned=PLACES, state="STABLE"):
    members = tuple(f"host{i} (w{i})" for i in range(n_members))
    return GroupState(state, members, frozenset(assigned), None)


def offsets(first, last, of=None, apart_s=3.0):
    """Return what is said of one partition, seen twice."""
    looks = Look(10.0, {PLACES[0]: first}), Look(10.0 + apart_s, {PLACES[0]: last})
    return list(check_offsets("workers", of or group(), looks, 1.0))


def test_members_that_share_all_partitions_are_well():
    finding = only(check_members("workers", group(3), PLACES))
    assert finding.status == "ok"
    assert finding.found == "3 members: host0 (w0), host1 (w1), host2 (w2); 1 of them idle"


def test_a_group_without_members_is_a_warning():
    assert only(check_members("workers", EMPTY, PLACES)).status == "warn"


def test_a_rebalance_is_a_warning_and_a_partition_that_nobody_reads_fails():
    moving = group(assigned=[], state="PREPARING_REBALANCING")
    assert only(check_members("workers", moving, PLACES)).status == "warn"
    finding = only(check_members("workers", group(assigned=PLACES[:1]), PLACES))
    assert finding.status == "fail"
    assert "points[1]" in finding.found


def test_what_nobody_told_is_unknown():
    assert only(check_members("workers", UNTOLD, PLACES)).status == "unknown"
    assert only(check_offsets("workers", UNTOLD, UNTOLD, 1.0)).status == "unknown"
    assert only(check_offsets("workers", group(), UNTOLD, 1.0)).status == "unknown"


def test_a_lag_that_moves_is_well_and_told():
    finding = only(offsets(Offsets(0, 500, 500, 100), Offsets(0, 600, 600, 200)))
    assert finding.status == "ok"
    assert finding.found == "400 offsets behind, most in points[0] (400)"


def test_a_lag_that_stands_still_fails():
    still = Offsets(0, 500, 500, 100)
    assert only(offsets(still, still)).status == "fail"


def test_standing_still_cannot_be_told_within_two_commits():
    still = Offsets(0, 500, 500, 100)
    assert only(offsets(still, still, apart_s=1.9)).status == "ok"


def test_who_has_no_member_is_not_stuck():
    still = Offsets(0, 500, 500, 100)
    assert only(offsets(still, still, of=EMPTY)).status == "ok"


def test_the_markers_of_transactions_at_an_end_are_no_lag():
    still = Offsets(0, 102, 102, 100)
    assert only(offsets(still, still)).status == "ok"


def test_records_deleted_before_they_were_read_fail():
    now = Offsets(300, 500, 500, 100)
    finding = only(offsets(now, now))
    assert finding.status == "fail"
    assert "points[0] (200 offsets)" in finding.found


def test_a_place_beyond_the_end_tells_of_a_topic_made_anew():
    now = Offsets(0, 50, 50, 100)
    finding = only(offsets(now, now))
    assert finding.status == "fail"
    assert "made anew" in finding.found


def test_a_group_that_has_committed_nothing_is_well():
    now = Offsets(0, 50, 50, None)
    assert only(offsets(now, now, of=EMPTY)).found == "nothing was committed yet"


def test_an_open_transaction_that_holds_readers_back_is_a_warning():
    held = Offsets(0, 100, 150, 100)
    said = offsets(held, held)
    assert [finding.status.value for finding in said] == ["ok", "warn"]
    assert "points[0] (50 records)" in said[1].found
    assert set(statuses(offsets(held, Offsets(0, 150, 160, 140))).values()) == {"ok"}
