"""The one module that knows Great Expectations: a frame and a suite in, which rows break what out.

Importing the library costs seconds, so it happens inside functions, and only in the audit's task.
Nothing here opens a connection, draws progress bars or writes log lines.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

_names = count()
_LARGE = 100_000  # rows

# Only failed expectations are asked again for the rows; values and queries are never wanted.
_COUNTS = {"result_format": "BASIC", "partial_unexpected_count": 0}
_ROWS = {
    "result_format": "COMPLETE",
    "partial_unexpected_count": 0,
    "return_unexpected_index_query": False,
    "exclude_unexpected_values": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How one expectation came out.

    ``broken`` are the positions of the rows that break it. ``raised`` says why it could not be
    evaluated; then ``broken`` means nothing.
    """

    id: str
    broken: Sequence[int] = ()
    raised: str = ""


def judge(frame: pd.DataFrame, suite: Mapping[str, Any]) -> dict[str, Judgement]:
    """Run a suite over a frame with a plain range index; one judgement per id in ``meta``.

    Never raises for the sake of an expectation: what raises is reported as such. Passing an
    expectation over nothing (no rows, only nulls) shows as no broken rows; how many rows had
    something to judge is the caller's to count.
    """
    judgements = {}
    runnable, unfit = _fit(suite)
    for id_, reason in unfit.items():
        judgements[id_] = Judgement(id=id_, raised=reason)
    with _batch(frame) as batch:
        doubtful = []
        for id_, result in _results(batch, suite["name"], runnable, _COUNTS):
            judgements[id_] = Judgement(id=id_, raised=_raised(result))
            if not judgements[id_].raised and result.result.get("unexpected_count"):
                doubtful.append(id_)
        again = [e for e in runnable if e["meta"]["id"] in doubtful]
        for id_, result in _results(batch, suite["name"], again, _ROWS):
            judgements[id_] = Judgement(
                id=id_,
                broken=result.result.get("unexpected_index_list") or (),
                raised=_raised(result),
            )
    return judgements


def _results(
    batch: Any, name: str, expectations: list[dict[str, Any]], result_format: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    from great_expectations.core import ExpectationSuite

    if not expectations:
        return
    suite = ExpectationSuite(name=name, expectations=expectations)
    # Results come in an order of their own; the id in meta tells them apart.
    for result in batch.validate(suite, result_format=result_format).results:
        yield result.expectation_config.meta["id"], result


def _fit(suite: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Expectations that can be built, and why the others cannot."""
    gx = _library()
    from great_expectations.core import ExpectationSuite

    expectations = [dict(e) for e in suite["expectations"]]
    try:
        ExpectationSuite(name=suite["name"], expectations=expectations)
    except Exception:  # noqa: BLE001 - whatever a mistaken expectation raises; found one by one
        return _one_by_one(gx, expectations)
    return expectations, {}


def _one_by_one(
    gx: Any, expectations: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    fit, unfit = [], {}
    for expectation in expectations:
        try:
            gx.ExpectationSuite(name="one", expectations=[expectation])
        except Exception as error:  # noqa: BLE001 - as above
            unfit[expectation["meta"]["id"]] = _brief(str(error))
        else:
            fit.append(expectation)
    return fit, unfit


def _raised(result: Any) -> str:
    """Why an expectation could not be evaluated; empty when it was."""
    info = result.exception_info or {}
    entries = [info] if "raised_exception" in info else list(info.values())
    for entry in entries:
        if entry.get("raised_exception"):
            return _brief(str(entry.get("exception_message") or "it raised"))
    return ""


def _brief(text: str) -> str:
    return " ".join(text.split())[:300]


class _batch:  # noqa: N801 - used like a function
    """A frame as a batch; the library forgets the frame afterwards."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._name = f"audit_{next(_names)}"

    def __enter__(self) -> Any:
        self._context = _context(os.getpid())
        source = self._context.data_sources.add_pandas(self._name)
        definition = source.add_dataframe_asset(self._name).add_batch_definition_whole_dataframe(
            self._name
        )
        return definition.get_batch(batch_parameters={"dataframe": self._frame})

    def __exit__(self, *_: object) -> None:
        self._context.data_sources.delete(self._name)
        if len(self._frame) > _LARGE:  # the library's cycles would keep it until some later time
            gc.collect()


@cache
def _library() -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # older versions would call home
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # before the import
    import great_expectations

    return great_expectations


@cache
def _context(pid: int) -> Any:  # noqa: ARG001 - the key: a forked process makes its own
    gx = _library()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context
