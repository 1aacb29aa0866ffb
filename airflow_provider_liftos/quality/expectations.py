"""Expectations of our own, where Great Expectations has none; imported by ``quality.gx`` alone.

Importing this registers them: they can be named in suites of any origin, also in users' own.

====================================  =========================================================
expect_rows_to_obey_law               codes of rows (``quality.suites``): no row breaks the law
expect_column_to_be_filled            every row has what its level and report ask for
expect_numbers_within_limit           one number per slice or account is at most its limit
expect_ratio_to_agree                 a ratio equals numerator / denominator of the same row
====================================  =========================================================

They say what they expect in the words of the rule (``law``), in results and in Data Docs.
"""

# The library's own types do not foresee that its renderers are shared by a mixin.
# mypy: disable-error-code="misc, type-arg, untyped-decorator, attr-defined, arg-type, override"

from __future__ import annotations

from typing import Any, ClassVar

from great_expectations.core import ExpectationValidationResult
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.core import (
    ExpectColumnValuesToBeBetween,
    ExpectColumnValuesToBeInSet,
    ExpectColumnValuesToNotBeNull,
)
from great_expectations.expectations.expectation import MulticolumnMapExpectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
from great_expectations.expectations.metrics.map_metric_provider import (
    MulticolumnMapMetricProvider,
    multicolumn_condition_partial,
)
from great_expectations.render import (
    LegacyRendererType,
    RenderedStringTemplateContent,
)
from great_expectations.render.renderer.renderer import renderer
from great_expectations.render.renderer_configuration import (
    RendererConfiguration,
    RendererValueType,
)

_PARTS = (
    ("law", RendererValueType.STRING),
    ("column", RendererValueType.STRING),
    ("max_value", RendererValueType.NUMBER),
)


class _Told:
    """Renders the rule's own words, and what part of the rows must obey."""

    @classmethod
    def _prescriptive_template(
        cls, renderer_configuration: RendererConfiguration
    ) -> RendererConfiguration:
        kwargs = renderer_configuration.kwargs
        for name, kind in _PARTS:
            if kwargs.get(name) is not None:
                renderer_configuration.add_param(name=name, param_type=kind)
        renderer_configuration.template_str = cls._words(kwargs)
        return renderer_configuration

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    def _prescriptive_renderer(
        cls,
        configuration: ExpectationConfiguration | None = None,
        result: ExpectationValidationResult | None = None,
        runtime_configuration: dict[str, Any] | None = None,  # noqa: ARG003  GX passes it by name
    ) -> list[RenderedStringTemplateContent]:
        asked = configuration or (result and result.expectation_config)
        kwargs = dict(asked.kwargs) if asked else {}
        parts = {"template": cls._words(kwargs), "params": {k: str(v) for k, v in kwargs.items()}}
        return [
            RenderedStringTemplateContent(
                content_block_type="string_template", string_template=parts
            )
        ]

    @classmethod
    def _words(cls, kwargs: dict[str, Any]) -> str:
        words = "$law" if kwargs.get("law") else cls.plain
        if (kwargs.get("mostly") or 1) < 1:
            words += f" At least {100 * float(kwargs['mostly']):g} % of the rows obey."
        return words

    plain: ClassVar[str] = ""


class ExpectRowsToObeyLaw(_Told, ExpectColumnValuesToBeInSet):
    """Expect the codes of a law to say that no row breaks it.

    Args:
        column: The column of codes: 0 broken, 1 lawful, 2 exempt.
        value_set: The codes that are fine.
        law: What holds when no row breaks it.
    """

    law: str = ""
    plain: ClassVar[str] = "No row breaks the law $column."


class ExpectColumnToBeFilled(_Told, ExpectColumnValuesToNotBeNull):
    """Expect every row to have what its level and its report ask for.

    Args:
        column: The column that stands for it: not null where there is a value, or none is asked.
        law: What holds when every row has it.
    """

    law: str = ""
    plain: ClassVar[str] = "Every row has a $column."


class ExpectNumbersWithinLimit(_Told, ExpectColumnValuesToBeBetween):
    """Expect one number per slice or account to be at most its limit; null does not apply.

    Args:
        column: The numbers of one rule.
        max_value: The limit.
        law: What holds when all are within it.
    """

    law: str = ""
    plain: ClassVar[str] = "$column is at most $max_value."

    @classmethod
    def _words(cls, kwargs: dict[str, Any]) -> str:
        limit = kwargs.get("max_value")
        words = super()._words(kwargs)
        return f"{words} ($column: at most {limit:g})" if kwargs.get("law") and limit else words


class _RatioAgrees(MulticolumnMapMetricProvider):
    """Ratio, numerator and denominator of a row; with 0 below, or with a null, all agrees."""

    condition_metric_name = "multicolumn_values.ratio_agrees"
    condition_domain_keys = (
        "batch_id", "table", "column_list", "row_condition", "condition_parser", "ignore_row_if",
    )  # fmt: skip
    condition_value_keys = ("factor", "tolerance")

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: Any, factor: float, tolerance: float, **_: Any) -> Any:  # noqa: N805
        ratio, above, below = (column_list.iloc[:, n].astype("float64") for n in range(3))
        # Multiplied across, so that nothing is divided by zero.
        apart = (ratio * below - factor * above).abs()
        return (
            (below == 0)
            | apart.isna()
            | (apart <= tolerance * (factor * above).abs() + 1e-9 * below.abs())
        )


class ExpectRatioToAgree(_Told, MulticolumnMapExpectation):
    """Expect a ratio to equal numerator over denominator of the same row, but for a tolerance.

    Args:
        column_list: The ratio, its numerator and its denominator.
        factor: What the quotient is multiplied by; 100 for percent.
        tolerance: How far it may be off, as a fraction.
    """

    factor: float = 1.0
    tolerance: float = 0.01
    law: str = ""
    plain: ClassVar[str] = "The ratio equals its numerator over its denominator."
    map_metric: ClassVar[str | None] = "multicolumn_values.ratio_agrees"
    args_keys: ClassVar[tuple[str, ...]] = ("column_list", "factor", "tolerance")
    success_keys: ClassVar[tuple[str, ...]] = ("factor", "tolerance", "mostly")
