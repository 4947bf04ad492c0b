"""What every detector keeps to, whatever its method. What one cannot keep stands in its case."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.config import DetectionConfig
from streamdet.config.detection import DetectorName
from streamdet.detectors import DETECTORS, Detector
from streamdet.kernels.conditions import CONDITIONS
from streamdet.kernels.header import ABSENT, FILL, HEADER, JUDGE, LEARN, NEVER, RESTART, RETURNED
from streamdet.kernels.incident import INCIDENT
from streamdet.state.store import Pool
from streamdet.types import Verdicts

SENSITIVITIES = (0, 25, 50, 75, 90, 99)
SPACE = st.floats(-1e30, 1e30) | st.floats(-1e3, 1e3) | st.sampled_from([0.0, 1.0, -2.5])


@dataclass(frozen=True)
class Case:
    """A detector, and what is its own."""

    detector: Detector
    nominal_rate: Callable[[float], float]
    """Sensitivity -> the share of normal white noise that it may flag."""
    warms_up_in: int
    """Points after which every point has a band."""
    accepts_a_shift_in: int | None
    """Points after which a level that stays is normal; None: never, as its bounds are fixed."""
    is_free_of_units: bool
    """value * a + b has the verdicts of value; bounds are in the unit of the series."""
    settings: dict[str, Any] = field(default_factory=dict)

    def bench(self, n_series: int = 1, **options: Any) -> Bench:
        chosen = {"detector": self.detector.name, **self.settings, **options}
        return Bench(self.detector, n_series, DetectionConfig(**chosen))


class Bench:
    """Rows and rings of a few series, as the store has them, and the detector over them."""

    def __init__(self, detector: Detector, n_series: int, config: DetectionConfig) -> None:
        self.detector, self.config = detector, config
        self.pool = Pool(detector.layout, detector.ring_points(config))
        for number in range(n_series):
            (slot,) = self.pool.take([str(number)], self.pool.blank()).tolist()
            detector.configure(self.pool.rows, slot, config)
        self._begun = [False] * n_series

    def judge(self, value, slot=None, use=None, step=None) -> Verdicts:
        n = len(value)
        slot = np.zeros(n, np.int64) if slot is None else np.asarray(slot, np.int64)
        use = np.full(n, JUDGE, np.uint8) if use is None else np.asarray(use, np.uint8)
        step = np.ones(n, np.int32) if step is None else np.array(step, np.int32)
        for number, begun in enumerate(self._begun):
            mine = np.flatnonzero((slot == number) & (use <= LEARN))
            if not begun and len(mine):
                step[mine[0]] = RESTART
                self._begun[number] = True
        return self.detector.run(
            self.pool.rows, self.pool.ring, slot, step, np.asarray(value, np.float64), use
        )

    def begin_anew(self) -> None:
        self._begun = [False] * len(self._begun)

    def state(self) -> tuple[bytes, bytes]:
        return self.pool.rows.tobytes(), self.pool.ring.tobytes()

    def loaded(self) -> Bench:
        """A bench with this one's state, from its bytes."""
        rows, ring = self.state()
        other = Bench(self.detector, len(self._begun), self.config)
        other._begun = list(self._begun)
        other.pool.rows[:] = np.frombuffer(rows, self.pool.rows.dtype)
        other.pool.ring[:] = np.frombuffer(ring, np.float32).reshape(self.pool.ring.shape)
        return other


CASES = {
    "forecast": Case(
        DETECTORS["forecast"],
        nominal_rate=lambda sensitivity: math.exp(-(14 - sensitivity / 10)),
        warms_up_in=12,
        accepts_a_shift_in=40,
        is_free_of_units=True,
    ),
    "spectral_residual": Case(
        DETECTORS["spectral_residual"],
        nominal_rate=lambda sensitivity: math.exp(-1.8 * (11 - sensitivity / 10)),
        warms_up_in=58,
        accepts_a_shift_in=59,
        is_free_of_units=True,
    ),
    "threshold": Case(
        DETECTORS["threshold"],
        nominal_rate=lambda sensitivity: 0.0,
        warms_up_in=0,
        accepts_a_shift_in=None,
        is_free_of_units=False,
        settings={"upperBound": 6, "lowerBound": -6},
    ),
}


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]


def noise(n, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(scale=scale, size=n)


def eventful(n=600, seed=0):
    """Noise with spikes, a burst and a shift."""
    value = noise(n, seed)
    value[n // 3] += 20
    value[n // 2 : n // 2 + 4] -= 15
    value[2 * n // 3 :] += 8
    value[-20] -= 30
    return value


def assert_same(got: Verdicts, want: Verdicts) -> None:
    for column in fields(Verdicts):
        np.testing.assert_array_equal(getattr(got, column.name), getattr(want, column.name))


def joined(parts: list[Verdicts]) -> Verdicts:
    columns = ([getattr(part, column.name) for part in parts] for column in fields(Verdicts))
    return Verdicts(*map(np.concatenate, columns))


def taken(verdicts: Verdicts, which) -> Verdicts:
    return Verdicts(*(getattr(verdicts, column.name)[which] for column in fields(Verdicts)))


def test_the_list_is_what_can_be_configured_and_what_is_tested():
    assert list(DETECTORS) == list(get_args(DetectorName)) == list(CASES)


def test_the_same_input_has_the_same_output(case):
    assert_same(case.bench().judge(eventful()), case.bench().judge(eventful()))


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 900), max_size=8), seed=st.integers(0, 99))
@pytest.mark.parametrize("name", CASES)
def test_neither_the_batches_nor_the_order_of_series_matter(name, cuts, seed):
    case = CASES[name]
    alone = [case.bench().judge(eventful(300, s)) for s in range(3)]
    slot = np.random.default_rng(seed).permutation(np.repeat(np.arange(3), 300))
    value = np.empty(900)
    for s in range(3):
        value[slot == s] = eventful(300, s)
    bench = case.bench(3)
    bounds = [0, *sorted(cuts), 900]
    mixed = joined([bench.judge(value[a:b], slot[a:b]) for a, b in itertools.pairwise(bounds)])
    for s in range(3):
        assert_same(taken(mixed, slot == s), alone[s])


def test_a_series_that_begins_anew_is_judged_as_a_new_one(case):
    options = {"suppressCondition": {"minNumber": 3, "minRatio": 60}}
    value = np.append(noise(case.warms_up_in, 1), [9, 9, 0, 9])  # judged at once
    bench = case.bench(**options)
    bench.judge(np.append(noise(200), 40))
    bench.begin_anew()
    assert_same(bench.judge(value), case.bench(**options).judge(value))


def assert_nothing_is_said(found: Verdicts) -> None:
    for column in ("is_anomaly", "state", "severity", "period"):
        assert not getattr(found, column).any()
    for column in ("expected_value", "upper_margin", "lower_margin", "score", "alert"):
        assert np.isnan(getattr(found, column)).all()


@pytest.mark.parametrize(
    ("use", "value", "step"),
    [
        (ABSENT, math.nan, 1),
        (RETURNED, 1e9, RESTART),
        (ABSENT, 1e9, -3),
        (FILL, 1e9, 2),
        (FILL, 1e9, 9999),
    ],
)
def test_a_note_or_a_late_value_whose_place_is_taken_leaves_everything_as_it_was(
    case, use, value, step
):
    bench = case.bench()
    bench.judge(eventful())
    before = bench.state()
    left = bench.judge([value] * 3, use=[use] * 3, step=[step] * 3)
    assert bench.state() == before
    assert_nothing_is_said(left)


def test_what_comes_too_late_before_any_point_changes_nothing(case):
    bench, value = case.bench(), eventful(200)
    before = bench.state()
    assert_nothing_is_said(bench.judge([5.0, 6.0], use=[FILL] * 2))
    assert bench.state() == before
    assert_same(bench.judge(value), case.bench().judge(value))


def test_of_an_imputed_value_nothing_is_said_and_it_ends_no_incident(case):
    bench = case.bench(maxAnomalyRatio=0.4)
    bench.judge(np.append(noise(300), 40))
    row = bench.pool.rows[0]
    of_others = [name for name, *_ in (*CONDITIONS, *INCIDENT)]
    before = [row[name].tobytes() for name in of_others]
    assert row["to_recovery"] > 0
    assert_nothing_is_said(bench.judge([0.0, 50.0] * 20, use=[LEARN] * 40))
    assert [row[name].tobytes() for name in of_others] == before


def test_an_imputed_value_is_learnt_as_one_that_came(case):
    value = noise(400)
    bench, other = case.bench(), case.bench()
    use = np.where(np.arange(300) % 7 == 3, LEARN, JUDGE)
    found, want = bench.judge(value[:300], use=use), other.judge(value[:300])
    assert_same(taken(found, use == JUDGE), taken(want, use == JUDGE))
    assert_same(bench.judge(value[300:]), other.judge(value[300:]))


def test_where_clocks_go_back_the_values_that_come_are_judged_as_ever(case):
    value = noise(400)
    step = np.ones(400, np.int32)
    step[[150, 300]] = 0, -11
    found = case.bench().judge(value, step=step)
    assert np.isfinite(found.expected_value[case.warms_up_in :]).all()
    assert found.is_anomaly.mean() < 0.01


@pytest.mark.parametrize("at", [1, 13, 64, 201, 403])
def test_saving_and_loading_the_state_changes_nothing(case, at):
    value = eventful()
    bench = case.bench()
    first = bench.judge(value[:at])
    rest = bench.loaded().judge(value[at:])
    assert_same(joined([first, rest]), case.bench().judge(value))


def test_the_state_is_bounded_and_fills_whole_cache_lines(case):
    row = case.detector.layout.row
    assert list(row.names[: len(HEADER)]) == [name for name, _ in HEADER]
    assert row.itemsize % 64 == 0
    assert row.itemsize <= 512
    bench = case.bench()
    assert bench.pool.rows["time_us"][0] == NEVER
    sizes = [len(part) for part in bench.state()]
    bench.judge(noise(5000))
    assert [len(part) for part in bench.state()] == sizes


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
def test_white_noise_is_flagged_no_more_than_at_the_nominal_rate(case, sensitivity):
    n = 50_000
    flags = case.bench(sensitivity=sensitivity).judge(noise(n, seed=5)).is_anomaly
    nominal = n * case.nominal_rate(sensitivity)
    assert flags.sum() <= nominal + 3 * math.sqrt(nominal)


@pytest.mark.parametrize("height", [10.0, -40.0, 1e6])
def test_a_shift_is_flagged_and_accepted_in_time(case, height):
    value = noise(1200)
    value[600:] += height
    flags = case.bench().judge(value).is_anomaly
    assert flags[600]
    if case.accepts_a_shift_in is None:
        assert flags[600:].mean() > 0.9
    else:
        assert flags[600 + case.accepts_a_shift_in :].mean() < 0.01


def test_a_higher_sensitivity_never_flags_less_from_the_same_state(case):
    history = eventful(400, seed=3)
    for at in (80, 150, 399):
        bench = case.bench()
        bench.judge(history[:at])
        for value in np.linspace(-12, 20, 33):
            flags = []
            for sensitivity in SENSITIVITIES:
                other = bench.loaded()
                chosen = other.config.model_copy(update={"sensitivity": sensitivity})
                other.detector.configure(other.pool.rows, 0, chosen)
                flags.append(bool(other.judge([value]).is_anomaly[0]))
            assert flags == sorted(flags)


@settings(max_examples=40)
@given(
    st.lists(SPACE, min_size=1, max_size=160),
    st.sampled_from(SENSITIVITIES),
    st.integers(0, 2**32 - 1),
)
@pytest.mark.parametrize("name", CASES)
def test_every_point_has_a_finite_band_and_is_an_anomaly_exactly_outside(
    name, strange, sensitivity, seed
):
    case = CASES[name]
    value = np.concatenate([noise(70, seed), strange])
    found = case.bench(sensitivity=sensitivity).judge(value)
    known = np.arange(len(value)) >= case.warms_up_in
    assert np.isnan(found.expected_value[~known]).all()
    assert not found.is_anomaly[~known].any()
    for margin in (found.upper_margin[known], found.lower_margin[known]):
        assert np.isfinite(margin).all()
        assert (margin >= 0).all()
    assert np.isfinite(found.expected_value[known]).all()
    assert (found.score[known] >= 0).all()
    above = value > found.expected_value + found.upper_margin
    below = value < found.expected_value - found.lower_margin
    np.testing.assert_array_equal(found.is_anomaly, above | below)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, -1.0, 1e6, 1e12])
@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.is_free_of_units])
def test_the_unit_of_a_series_does_not_matter(name, scale, offset):
    case = CASES[name]
    value = eventful()
    plain = case.bench().judge(value)
    scaled = case.bench().judge((value + offset) * scale)
    assert plain.is_anomaly.any()
    np.testing.assert_array_equal(scaled.is_anomaly, plain.is_anomaly)
    np.testing.assert_allclose(scaled.score, plain.score, rtol=1e-3, atol=1e-3)


def test_severity_is_a_share_that_grows_with_the_score_and_normal_points_have_none(case):
    found = case.bench().judge(eventful())
    assert found.is_anomaly.any()
    assert (found.severity[found.is_anomaly] > 0).all()
    assert (found.severity[~found.is_anomaly] == 0).all()
    severities = [case.detector.severity(score) for score in (0.5, 3.5, 7.0, 20.0, 100.0)]
    assert severities == sorted(severities)
    assert max(severities) <= 1


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
def test_an_anomaly_has_a_score_above_the_threshold_of_its_sensitivity(case, sensitivity):
    found = case.bench(sensitivity=sensitivity).judge(eventful())
    assert (found.score[found.is_anomaly] > case.detector.threshold(sensitivity) - 1e-9).all()
    thresholds = [case.detector.threshold(each) for each in SENSITIVITIES]
    assert thresholds == sorted(thresholds, reverse=True)
