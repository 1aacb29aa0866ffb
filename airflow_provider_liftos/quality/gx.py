"""The one module that knows Great Expectations: a frame and a suite in, which rows break what out.

Importing the library costs seconds, so it happens inside functions, and only in the audit's task.
Nothing here opens a connection or draws progress bars.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_docs: ContextVar[Path | None] = ContextVar("liftos_data_docs", default=None)
_one_at_a_time = threading.Lock()  # batches share a name, and the library knows them by name

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

    ``broken`` are the positions of the rows that break it, ``failed`` says that the whole does,
    ``judged`` how many rows had something to judge where that is known. ``raised`` says why it
    could not be evaluated; then the others mean nothing.
    """

    id: str
    broken: Sequence[int] = ()
    raised: str = ""
    failed: bool = False
    judged: int | None = None


def judge(frame: pd.DataFrame, suite: Mapping[str, Any]) -> dict[str, Judgement]:
    """Run a suite over a frame with a plain range index; one judgement per id in ``meta``.

    Never raises for the sake of an expectation: what raises is reported as such. Passing an
    expectation over nothing (no rows, only nulls) shows as no broken rows; how many rows had
    something to judge is the caller's to count.
    """
    expectations = [dict(e) for e in suite["expectations"]]
    judgements: dict[str, Judgement] = {}
    with _batch(frame) as batch:
        doubtful = set()
        for id_, result in _results(batch, suite["name"], expectations, _COUNTS):
            judgements[id_] = _summed(id_, result)
            if not judgements[id_].raised and result.result.get("unexpected_count"):
                doubtful.add(id_)
        again = [e for e in expectations if e["meta"]["id"] in doubtful]
        for id_, result in _results(batch, suite["name"], again, _ROWS):
            broken = result.result.get("unexpected_index_list") or ()
            first = judgements[id_]
            judgements[id_] = replace(first, broken=broken, raised=_raised(result))
    for expectation in expectations:  # the library silently leaves out what it cannot build
        id_ = expectation["meta"]["id"]
        judgements.setdefault(id_, Judgement(id=id_, raised=_unfit(expectation)))
    return judgements


def _results(
    batch: Any, name: str, expectations: list[dict[str, Any]], result_format: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    from great_expectations.core import ExpectationSuite

    if not expectations:
        return
    suite = ExpectationSuite(name=name, expectations=expectations)
    found = batch.validate(suite, result_format=result_format)
    if result_format is _COUNTS:
        _document(name, found)
    # Results come in an order of their own; the id in meta tells them apart.
    for result in found.results:
        yield result.expectation_config.meta["id"], result


def _summed(id_: str, result: Any) -> Judgement:
    """What counts say; a figure of nothing (a maximum of nulls) is no evaluation."""
    raised, of = _raised(result), result.result
    if raised:
        return Judgement(id=id_, raised=raised)
    if "unexpected_count" in of:
        empty = of.get("missing_count") or 0
        judged = of["element_count"] - empty if "element_count" in of else None
        return Judgement(id=id_, judged=judged)
    value = of.get("observed_value", 0)
    if value is None or value != value:  # noqa: PLR0124  not a number
        return Judgement(id=id_, raised="there is nothing to judge")
    return Judgement(id=id_, failed=not result.success)


def _unfit(expectation: Mapping[str, Any]) -> str:
    """Why the library cannot build an expectation."""
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    try:
        ExpectationConfiguration(**expectation).to_domain_obj()
    except Exception as error:  # noqa: BLE001 - whatever a mistaken expectation raises
        return _brief(str(error))
    return "the expectation gave no result"


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


@contextmanager
def documented(folder: Path | None) -> Iterator[None]:
    """Write a page of the library's Data Docs into ``folder`` for each suite run inside the block.

    They take styles and scripts from the internet, when somebody opens them. None: write nothing.
    """
    token = _docs.set(folder)
    try:
        yield
    finally:
        _docs.reset(token)


def _document(name: str, found: Any) -> None:
    folder = _docs.get()
    if folder is None:
        return
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    try:
        shown = ValidationResultsPageRenderer().render(found)
        page = DefaultJinjaPageView().render(shown)  # type: ignore[no-untyped-call]
        folder.mkdir(parents=True, exist_ok=True)
        number = sum(1 for _ in folder.iterdir()) + 1
        (folder / f"{number:03}-{re.sub('[^A-Za-z0-9_.-]+', '-', name)}.html").write_text(page)
    except Exception as error:  # noqa: BLE001  an extra, of whose making no audit may die
        log.warning("no Data Docs of %s: %s: %s", name, type(error).__name__, _brief(str(error)))


@contextmanager
def _batch(frame: pd.DataFrame) -> Iterator[Any]:
    """A frame as a batch; the library forgets the frame afterwards."""
    with _one_at_a_time:
        definition = _definition(os.getpid())
        try:
            yield definition.get_batch(batch_parameters={"dataframe": frame})
        finally:
            held = definition.data_asset.datasource.get_execution_engine().batch_manager
            held.batch_data_cache.clear()
            held.reset_batch_cache()


@cache
def _library() -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # older versions would call home
    # Before the import, which logs; what goes wrong later is told by the judgements.
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of modules that Python has renamed; nobody's business
        import great_expectations
        import great_expectations.data_context.types.base as noisy  # sets a level of its own

        noisy.logger.setLevel(logging.CRITICAL)
        # The size (bytes) up to which frames are fingerprinted: a hash of every value, twice, for
        # a marker that nobody reads; a third of the audit's time.
        import great_expectations.execution_engine.pandas_execution_engine as engine

        engine.HASH_THRESHOLD = 0
        import airflow_provider_liftos.quality.expectations  # noqa: F401  registers our own

    return great_expectations


@cache
def _definition(pid: int) -> Any:  # noqa: ARG001 - the key: a forked process makes its own
    gx = _library()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("audit")
    return source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("whole")
