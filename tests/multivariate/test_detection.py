"""What is found of a system of variables, and what is left alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamdet.multivariate.data import AlignPolicy, Frame
from streamdet.multivariate.evidence import increments, judged, sums, unlikeliness
from streamdet.multivariate.infer import detect, judge
from streamdet.multivariate.residuals import levelled, shifted
from streamdet.multivariate.train import train
from tests.multivariate.service import system

WINDOW = 100


def frame(value):
    names = tuple(f"v{j}" for j in range(value.shape[1]))
    return Frame(names, np.arange(len(value)) * 60_000_000, value, [])


def trained(value):
    return train(frame(value), WINDOW, AlignPolicy(), "OneTable")[0]


@pytest.fixture(scope="module")
def whole():
    return system(6000, variables=6)


@pytest.fixture(scope="module")
def model(whole):
    return trained(whole[:4000])


def found(model, value, begin, end):
    """Return the first contributors of anomalous rows of an event, and the rows elsewhere."""
    results = detect(model, frame(value), 6)
    rows = [t for t, each in enumerate(results) if each["value"]["isAnomaly"]]
    inside = [t for t in rows if begin <= t < end + 5]
    first = {results[t]["value"]["interpretation"][0]["variable"] for t in inside}
    return first, [t for t in rows if not begin <= t < end + 10]


def disturbed(value, kind, begin, end):
    out = value.copy()
    part = value[begin:end, 3]
    out[begin:end, 3] = {
        "spike": part + 20,
        "level shift": part + 3,
        "sign flip": 20 - part,
        "another time": value[begin - 200 : end - 200, 3],
        "a few rows late": value[begin - 8 : end - 8, 3],
        "stuck": np.full(end - begin, value[begin, 3]),
    }[kind]
    return out


@pytest.mark.parametrize(
    ("kind", "rows"),
    [("spike", 1), ("level shift", 20), ("sign flip", 30), ("another time", 30),
     ("a few rows late", 40), ("stuck", 40)],
)  # fmt: skip
def test_a_variable_that_leaves_the_others_is_found_and_comes_first(whole, model, kind, rows):
    test = whole[4000:]
    first, elsewhere = found(model, disturbed(test, kind, 800, 800 + rows), 800, 800 + rows)
    assert "v3" in first
    assert elsewhere == []


def test_two_variables_that_change_places_are_both_named(whole, model):
    test = whole[4000:].copy()
    test[800:840, [1, 3]] = test[800:840, [3, 1]]
    results = detect(model, frame(test), 2, 800)[:40]
    named = {each["variable"] for result in results for each in result["value"]["interpretation"]}
    assert named >= {"v1", "v3"}


def test_nothing_is_found_where_nothing_happened(whole, model):
    assert found(model, whole[4000:], 0, 0) == (set(), [])


def test_one_per_cent_of_anomalies_in_the_training_hide_nothing(whole):
    spoilt = whole[:4000].copy()
    for begin in (1000, 2200, 3100, 3700):
        spoilt[begin : begin + 10, begin % 6] = spoilt[begin - 300 : begin - 290, begin % 6] + 4
    test = disturbed(whole[4000:], "sign flip", 800, 830)
    first, elsewhere = found(trained(spoilt), test, 800, 830)
    assert "v3" in first
    assert elsewhere == []


def test_a_relation_that_is_a_square_is_learnt():
    random = np.random.default_rng(5)
    hidden = system(6000, seed=4, variables=1)[:, 0] - 10
    hidden /= hidden.std()
    value = np.stack([hidden, hidden, -hidden, hidden**2], axis=1)
    value += 0.1 * random.normal(size=value.shape)
    test = value[4000:].copy()
    test[700:730, 3] = test[300:330, 3]
    first, elsewhere = found(trained(value[:4000]), test, 700, 730)
    assert "v3" in first
    assert elsewhere == []


def test_a_relation_with_a_lag_is_learnt_and_missed_when_it_breaks():
    random = np.random.default_rng(6)
    source = random.normal(size=6000)
    value = np.stack([source, shifted(source[:, None], 7)[:, 0], random.normal(size=6000)], 1)
    value += 0.1 * random.normal(size=value.shape)
    model = trained(value[:4000])
    assert 7 in model.lags
    test = value[4000:].copy()
    test[700:720, 1] = random.normal(size=20)
    first, elsewhere = found(model, test, 700, 720)
    assert "v1" in first
    assert elsewhere == []


def test_contributions_add_up_to_one_and_go_down(whole, model):
    test = disturbed(whole[4000:], "sign flip", 800, 830)
    anomalous = [each["value"] for each in detect(model, frame(test), 30) if
                 each["value"]["isAnomaly"]]  # fmt: skip
    assert anomalous
    for value in anomalous:
        shares = [each["contributionScore"] for each in value["interpretation"]]
        assert len(shares) == 6
        assert sum(shares) == pytest.approx(1)
        assert shares == sorted(shares, reverse=True)
        assert 0 < value["severity"] < 1 < value["score"] <= 2


def test_only_the_wanted_number_of_contributors_is_told(whole, model):
    test = disturbed(whole[4000:], "spike", 800, 801)
    value = detect(model, frame(test), 2, 800)[0]["value"]
    assert value["interpretation"][0]["variable"] == "v3"
    assert len(value["interpretation"]) == 2
    assert value["interpretation"][0]["correlationChanges"]["changedVariables"]


def test_the_newest_rows_are_judged_from_their_window_as_from_all(whole, model):
    test = disturbed(whole[4000:], "sign flip", 1970, 2000)
    at_once = judge(model, test).evidence[-10:]
    from_window = judge(model, test[-model.history - 10 :], model.history).evidence
    np.testing.assert_allclose(from_window > model.limit, at_once > model.limit)
    np.testing.assert_allclose(from_window, at_once, rtol=0.3)


def test_training_twice_gives_the_same_numbers(whole):
    assert trained(whole[:1000]).to_bytes() == trained(whole[:1000]).to_bytes()


@pytest.mark.parametrize("name", ["one variable", "constants", "few rows", "steps", "copies"])
def test_systems_at_the_edge_are_trained_and_judged(name):
    random = np.random.default_rng(8)
    walk = system(400, variables=3)
    value = {
        "one variable": walk[:, :1],
        "constants": np.column_stack([walk[:, 0], np.full(400, 3.0), np.zeros(400)]),
        "few rows": walk[: WINDOW + 1],
        "steps": np.round(walk),
        "copies": walk[:, [0, 0, 1, 1]],
    }[name]
    model = trained(value[: max(WINDOW + 1, 300)])
    odd = value[-WINDOW:].copy()
    odd[-1] += 1000 * (1 + random.random(odd.shape[1]))
    results = detect(model, frame(odd), 5)
    assert results[-1]["value"]["isAnomaly"]
    assert all(np.isfinite(each["value"]["score"]) for each in results)


residuals = arrays(np.float64, (12, 2), elements=st.floats(-6, 6))


@given(residuals, residuals)
def test_sums_are_those_of_plain_loops(e, u):
    steps = increments(e, u)
    total = np.zeros((2, steps.shape[2]))
    expected = np.empty_like(steps)
    for t in range(len(e)):
        for c in range(2):
            for s in range(steps.shape[2]):
                before = 0.0 if s < 2 else total[c, s]
                total[c, s] = max(0.0, before + steps[t, c, s])
                expected[t, c, s] = total[c, s]
    np.testing.assert_allclose(sums(steps), expected, atol=1e-9)


@given(residuals, residuals)
def test_evidence_is_that_of_plain_loops(e, u):
    steps = increments(e, u)
    shape = steps.shape[1:]
    usual, rate, limit = np.full(shape, 1.5), np.full(shape, 0.7), 5.0
    ceiling, heavy = np.full(shape, 12.0), np.array([[0.0, 0.3], [0.6, 0.0]])
    evidence, since = judged(steps, e, usual, rate, heavy, ceiling, limit)
    for c in range(2):
        total, age = [0.0] * shape[1], [0] * shape[1]
        for t in range(len(e)):
            for s in range(shape[1]):
                before = 0.0 if s < 2 else total[s]
                total[s] = min(max(0.0, before + steps[t, c, s]), 12.0)
                age[s] = age[s] + 1 if total[s] > 0 and s >= 2 else int(s < 2)
            each = unlikeliness(np.array(total), usual[c], rate[c], heavy[c])
            last = e[max(0, t - 4) : t + 1, c]
            if len(last) == 5 and each[2:].max() > limit:
                settled = np.mean(np.minimum(last**2, 12)) < 2.2 and abs(last.mean()) < 1.15
                if settled:
                    total, age = [0.0] * shape[1], [0] * shape[1]
                    each = unlikeliness(np.array(total), usual[c], rate[c], heavy[c])
            assert evidence[t, c] == pytest.approx(each.max(), abs=1e-9)
            if evidence[t, c] > limit:
                assert since[t, c] == age[int(each.argmax())]


def test_a_level_is_the_median_of_the_window_without_its_newest_eighth():
    residual = np.random.default_rng(9).normal(size=(400, 2)) + 3
    out = levelled(residual, 160)
    begin = 390 // 10 * 10
    past = residual[begin - 160 : begin - 20]
    expected = residual[390] - np.median(past, axis=0) * len(past) / 160
    np.testing.assert_allclose(out[390], expected)
