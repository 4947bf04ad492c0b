"""The file of a model: numbers with a checksum, the same from version to version."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamdet.multivariate.data import AlignPolicy, Frame
from streamdet.multivariate.infer import judge
from streamdet.multivariate.model import Model
from streamdet.multivariate.train import train
from tests.multivariate.service import system

GOLDEN = Path(__file__).parent / "golden.model"
ROWS = 300


def small():
    value = system(ROWS, variables=5)
    frame = Frame(tuple("abcde"), np.arange(ROWS) * 1_000_000, value, [])
    return train(frame, 50, AlignPolicy("Inner", "Fixed", 2.5), "MultiTable")[0]


@pytest.fixture(scope="module")
def content():
    return small().to_bytes()


def test_a_model_that_is_read_back_is_the_same(content):
    model = Model.from_bytes(content)
    assert model.to_bytes() == content
    assert model.variables == tuple("abcde")
    assert model.policy == AlignPolicy("Inner", "Fixed", 2.5)
    assert (model.sliding_window, model.schema) == (50, "MultiTable")


def test_a_model_of_an_earlier_release_judges_as_it_did():
    """To be made anew, and the version raised, when the format or the method changes."""
    model = Model.from_bytes(GOLDEN.read_bytes())
    value = system(120, seed=1, variables=5)
    value[100:110, 1] += 6
    verdicts = judge(model, value, 95)
    assert np.flatnonzero(verdicts.anomalous).tolist() == list(range(6, 15))
    np.testing.assert_allclose(
        verdicts.evidence[4:7], [2.91319729, 10.91254553, 17.87253299], rtol=1e-6
    )


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_refused(content, data):
    place = data.draw(st.integers(0, len(content) - 1))
    change = data.draw(st.integers(1, 255))
    damaged = bytearray(content)
    damaged[place] ^= change
    with pytest.raises(ValueError, match=r"no model|checksum"):
        Model.from_bytes(bytes(damaged))
    with pytest.raises(ValueError, match=r"no model|checksum"):
        Model.from_bytes(content[:place])


def sealed(payload):
    return b"streamdet multivariate model\n" + hashlib.sha256(payload).digest() + payload


def arrays_file(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return sealed(file.getvalue())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        sealed(b""),
        sealed(b"PK no archive"),
        arrays_file(a=np.zeros(1)),
        arrays_file(header=np.frombuffer(b"{", np.uint8)),
        arrays_file(header=np.frombuffer(b'{"version": 99}', np.uint8)),
        arrays_file(header=np.frombuffer(b'{"version": 1}', np.uint8)),
        arrays_file(header=np.array([{"an": "object"}], dtype=object)),
    ],
)
def test_a_file_with_something_else_in_it_is_refused(content):
    with pytest.raises(ValueError, match=r"."):
        Model.from_bytes(content)
