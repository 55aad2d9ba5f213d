"""What billing refuses, as checks of the tables that the rows came from: known only once dbt has judged them.

They are a step of their own, since a check is shown with its table and the step that lands the table cannot know. What
the rules are is in `loompin.refusals`; a rule of severity block ends the night when it is to be published.
"""

from collections.abc import Iterator

import dagster as dg

from dagster_project import describe
from dagster_project.night_run import RESOURCE, NightRun
from dagster_project.source_assets import check_result, source_key
from loompin import refusals
from loompin.publish import STEPS_READ
from loompin.rules import read_expectations


def refusal_checks() -> dg.AssetChecksDefinition:
    """The step that tells what billing refused."""
    expectations = read_expectations()
    steps = [dg.AssetKey(["intermediate", step]) for step in STEPS_READ]
    specs = {
        rule.rule_id: dg.AssetCheckSpec(
            name=describe.check_name(rule.rule), asset=source_key(rule.table), additional_deps=steps,
            description=f"{rule.column}: {rule.reason}.", metadata={"severity": expectations.severity(rule.rule_id)},
        )
        for rule in refusals.rules()
    }  # fmt: skip

    @dg.multi_asset_check(
        name="judge",
        description="Tell which accepted rows billing refuses, now that dbt knows subscriptions, prices and invoices.",
        specs=list(specs.values()), can_subset=True, required_resource_keys={RESOURCE}, pool="warehouse",
    )  # fmt: skip
    def judge(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        run: NightRun = context.op_execution_context.resources.night_run
        plan = run.plan(None)
        found = run.refusals(plan)
        if found is None and not context.op_execution_context.run.asset_selection:
            context.log.info(f"the rows of the night {plan.night} were not judged yet: dbt does it first")
            run.land(plan, context.log, again=False)
            outcome = run.derive(plan, [f"+{step}" for step in STEPS_READ])
            found = run.refusals(plan)
            if found is None:
                raise dg.Failure(description="dbt failed:\n" + "\n".join(outcome.errors), allow_retries=False)
        if found is None:
            context.log.info("what billing refuses is known once dbt has derived; this run does not")
            return
        for result in found:
            spec = specs[result.rule_id]
            if spec.key in context.op_execution_context.selected_asset_check_keys:
                yield check_result(spec.key, result)

    return judge
