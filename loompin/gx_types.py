"""Great Expectations' side of the rules: which expectation class a rule is, and how Data Docs pages look.

Importing this module imports Great Expectations, which takes seconds: only `quality_docs` does, in its own process.
Where a kind of rule means the same as one of GX's own classes, that class is used; the rest are the two types declared
here. None is ever evaluated by GX: it has no DuckDB backend, so `quality_docs` hands it what our own pass found.
"""

from __future__ import annotations

import html
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import great_expectations.expectations as gxe
from great_expectations.compatibility import pydantic
from great_expectations.expectations.expectation import BatchExpectation, Expectation
from great_expectations.render.components import LegacyRendererType, RenderedStringTemplateContent
from great_expectations.render.renderer.content_block import ValidationResultsTableContentBlockRenderer
from great_expectations.render.renderer.renderer import renderer
from great_expectations.render.view.view import DefaultJinjaPageView
from jinja2 import ChoiceLoader, FileSystemLoader

from loompin.quality_docs import NAMESPACE, TEMPLATES, RuleResult

# Both scales have three steps, so none of ours is lost: a row that stays, a row that leaves, a night that stops.
SEVERITY = {"warn": "info", "quarantine": "warning", "block": "critical"}


class _OwnExpectation(BatchExpectation):
    """A statement of ours, shown as a sentence. `template` names kwargs with a dollar sign."""

    sentence: ClassVar[str] = ""

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    def _prescriptive_renderer(
        cls,
        configuration: Any = None,
        result: Any = None,
        runtime_configuration: dict[str, Any] | None = None,
        **_: Any,
    ) -> list[RenderedStringTemplateContent]:
        runtime = runtime_configuration or {}
        configuration = configuration if configuration is not None else result.expectation_config
        with_column = configuration.kwargs.get("column") and runtime.get("include_column_name") is not False
        return [
            RenderedStringTemplateContent(
                content_block_type="string_template",
                string_template={
                    "template": ("$column " if with_column else "") + cls.sentence,
                    "params": {key: str(value) for key, value in configuration.kwargs.items()},
                    "styling": runtime.get("styling"),
                },
            )
        ]

    def _validate(self, metrics: Any, runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        raise NotImplementedError("the rules are evaluated in DuckDB; see loompin.validation")


class ExpectColumnValuesToReferTo(_OwnExpectation):
    """Each value of the column, if there is one, is the value of `key_column` in a row of `other_table`."""

    column: str
    other_table: str
    key_column: str

    sentence: ClassVar[str] = "values must refer to a row of $other_table by its $key_column."
    success_keys: ClassVar[tuple[str, ...]] = ("other_table", "key_column")


class ExpectTableRowsToSatisfyRule(_OwnExpectation):
    """Each row satisfies a rule for which GX has no class, such as a row check in SQL."""

    rule: str
    statement: str
    column: str | None = pydantic.Field(default=None)

    sentence: ClassVar[str] = "rows must satisfy $rule: $statement"
    success_keys: ClassVar[tuple[str, ...]] = ("rule", "statement")


def expectation(rule: RuleResult) -> Expectation:
    """The expectation that a rule is, with its severity and what GX calls notes.

    A rule whose parameters do not fit its class (it is broken, then) falls back to `ExpectTableRowsToSatisfyRule`.
    """
    common: dict[str, Any] = {
        "id": str(uuid.uuid5(NAMESPACE, f"{rule.rule_id}/{rule.column}/{rule.rule_type}")),
        "severity": SEVERITY[rule.severity],
        "notes": f"Rule `{rule.rule_id}`, severity {rule.severity}.",
        "meta": {
            "rule_id": rule.rule_id, "rule": rule.rule, "rule_type": rule.rule_type, "severity": rule.severity,
        },
    }  # fmt: skip
    make = _MAKERS.get(rule.rule_type)
    if make is not None:
        try:
            made: Expectation = make(rule, common)
        except (KeyError, TypeError, ValueError):  # pydantic's error is a ValueError
            pass
        else:
            return made
    statement = rule.params.get("expect") or _STATEMENTS.get(rule.rule_type)
    if statement is None:
        statement = f"{rule.rule_type} {json.dumps(dict(rule.params), sort_keys=True, default=str)}"
    return ExpectTableRowsToSatisfyRule(column=rule.column, rule=rule.rule, statement=str(statement), **common)


def _unique(rule: RuleResult, common: Mapping[str, Any]) -> Expectation:
    columns = list(rule.params.get("columns") or rule.params.get("key") or [rule.column])
    if len(columns) == 1:
        return gxe.ExpectColumnValuesToBeUnique(column=columns[0], **common)
    return gxe.ExpectCompoundColumnsToBeUnique(column_list=columns, **common)


def _range(rule: RuleResult, common: Mapping[str, Any]) -> Expectation:
    bounds = {"min_value": rule.params.get("min"), "max_value": rule.params.get("max")}
    return gxe.ExpectColumnValuesToBeBetween(column=rule.column, **bounds, **common)


def _reference(rule: RuleResult, common: Mapping[str, Any]) -> Expectation:
    table, _, column = str(rule.params["to"]).partition(".")
    return ExpectColumnValuesToReferTo(column=rule.column, other_table=table, key_column=column, **common)


_STATEMENTS = {
    "malformed": "a line of a file splits into the columns of its header",
    "ambiguous": "a shortened id fits one tenant only",
    "files": "each file of the table can be read and has the columns that the contract requires",
}

_MAKERS: Mapping[str, Callable[[RuleResult, Mapping[str, Any]], Expectation]] = {
    "regex": lambda r, c: gxe.ExpectColumnValuesToMatchRegex(column=r.column, regex=r.params["pattern"], **c),
    "not_null": lambda r, c: gxe.ExpectColumnValuesToNotBeNull(column=r.column, **c),
    "range": _range,
    "positive": lambda r, c: gxe.ExpectColumnValuesToBeBetween(column=r.column, min_value=0, strict_min=True, **c),
    "unique": _unique,
    "key": _unique,
    "accepted_values": lambda r, c: gxe.ExpectColumnValuesToBeInSet(
        column=r.column, value_set=list(r.params["values"]), **c
    ),
    "type": lambda r, c: gxe.ExpectColumnValuesToBeOfType(column=r.column, type_=str(r.params["data_type"]), **c),
    "reference": _reference,
}


class ResultTable(ValidationResultsTableContentBlockRenderer):
    """GX's table of results with two columns more: the rule's name in quarantine and checks, and its severity."""

    @classmethod
    def _process_content_block(cls, content_block: Any, has_failed_evr: Any, render_object: Any = None) -> None:
        super()._process_content_block(content_block, has_failed_evr, render_object)
        content_block.header_row += ["Rule", "Severity"]

    @classmethod
    def _get_content_block_fn(cls, expectation_type: str, expectation_config: Any = None) -> Callable[..., Any]:
        make_row = super()._get_content_block_fn(expectation_type, expectation_config)

        def with_rule(**told: Any) -> Any:
            rows = make_row(**told)
            meta = told["result"].meta
            for row in rows:
                row += [html.escape(meta["rule"]), html.escape(meta["severity"])]
            return rows

        return with_rule


RESULT_SECTIONS = {
    "class_name": "ValidationResultsColumnSectionRenderer",
    "table_renderer": {"class_name": "ResultTable", "module_name": __name__},
}


class PageView(DefaultJinjaPageView):
    """GX's sections within a page of ours: GX's own page fetches styles, scripts and a logo from a dozen hosts."""

    _template = "page.j2"

    def __init__(self) -> None:
        super().__init__()
        # Ours is found first; everything that a section needs is GX's.
        self.env.loader = ChoiceLoader([FileSystemLoader(TEMPLATES), self.env.loader])
        self.env.auto_reload = False

    def render_string_template(self, template: Any) -> Any:
        """GX's, but text without parameters (a column's name, a query, an exception) is text, not markup.

        A dollar sign starts a parameter there, and a character reference is the one way to write a plain one.
        """
        if isinstance(template, dict) and not template.get("params"):
            template["template"] = html.escape(str(template.get("template", ""))).replace("$", "&#36;")
        return super().render_string_template(template)
