"""What can be held to of the measurements; how fast is looked at, never asserted."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ablation import INGREDIENTS, delay_f1, without


@pytest.mark.parametrize("name", INGREDIENTS)
def test_every_ingredient_can_be_taken_out_of_the_kernels_as_they_are(name, tmp_path):
    without(INGREDIENTS[name], tmp_path)


def test_a_change_for_text_that_is_gone_is_refused(tmp_path):
    with pytest.raises(ValueError, match="stands 0 times"):
        without((("no such line", ""),), tmp_path)


def test_a_segment_counts_with_all_its_points_when_its_first_eight_are_flagged_in_time():
    label = np.zeros(100, np.bool_)
    label[10:30] = label[60:80] = True
    score = np.zeros(100)
    score[17] = 3.0  # in time
    score[68] = 2.0  # too late
    score[50] = 1.0
    assert delay_f1(np.zeros(100, np.int64), label, score) == 2 * 20 / (20 + 40)
