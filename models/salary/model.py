"""Monthly salary by years of management experience: what AWS's linear learner is given."""

from __future__ import annotations

import pandas as pd


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """The years as they are, and the site; who it is is not learned.

    The jobs turn the site into one column of 0 and 1 for each of its levels.
    """
    return frame[["management_years", "site"]]
