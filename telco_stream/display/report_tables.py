"""The summary of predictions as tables: customers first, then segments, lift, contacts and the likeliest customers."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from telco_stream.display.drift_tables import drift_tables
from telco_stream.display.layout import NamesTable, name_column, new_table, number_column, stack
from telco_stream.display.reason_tables import reason_column
from telco_stream.display.text import safe_text
from telco_stream.model.manifest import LiftStep
from telco_stream.report.analytics import PreviousPeriod, Summary
from telco_stream.report.customers import ContactPlan, CustomerSegment, MainReason
from telco_stream.report.wording import Wording, capitalize
from telco_stream.runtime.humanize import format_count, format_percent, format_share

#: Tenths of the lift table that `report` shows; `model show` shows all of them.
_LIFT_STEPS = 5
#: Columns after which the name of a total continues on the next line.
_FACT_WIDTH = 30
#: Main reasons that are listed.
_REASONS = 10


def summary_tables(summary: Summary) -> Group:
    """Draw the totals, their change, the segments, what contacts reach and earn, and the highest probabilities."""
    words = Wording(summary.contract)
    blocks: list[RenderableType] = [_facts_table(_totals(summary, words))]
    if summary.previous:
        blocks.append(_change_table(summary, summary.previous, words))
    if summary.total:
        blocks += [_segment_table(name, segments, words) for name, segments in summary.segments.items()]
    if summary.lift:
        blocks.append(lift_table(summary.lift[:_LIFT_STEPS]))
    if summary.contact_plan:
        blocks.append(_facts_table(_contacts(summary.contact_plan, summary, words)))
    if summary.top:
        blocks.append(_customer_table(summary, words))
    if summary.reasons:
        blocks.append(_reasons_table(summary.reasons, words))
    if summary.drift:
        blocks.append(Group(Text(" Drift of the records", "bold"), Text(), drift_tables(summary.drift)))
    return stack(*blocks)


def lift_table(steps: Sequence[LiftStep]) -> RenderableType:
    """Draw the share of the positive labels that contacts with each share of the highest probabilities reach."""
    table = new_table(number_column("Contact the top"), number_column("Reach"))
    for step in steps:
        table.add_row(f"{step.share:.0%}", format_percent(step.reached))
    return Group(Text(" Reach of contacts, by the metrics in the model's manifest:"), table)


def _totals(summary: Summary, words: Wording) -> Iterator[tuple[str, str, str, str]]:
    """Yield a name, a number, a share and an explanation for each total; those of customers come first."""
    known = summary.total or None
    yield capitalize(words.entities), format_count(summary.customers), "", "each by its newest prediction"
    yield (
        words.expected,
        format_count(round(summary.expected_leavers)),
        format_percent(known and summary.expected_share),
        f"{words.probability} summed over the {words.entities}",
    )
    yield (
        "Flagged",
        format_count(summary.flagged),
        format_percent(known and summary.flagged_share),
        f"{words.probability} at or above the threshold",
    )
    if summary.control:
        share = format_share(summary.control, summary.customers)
        yield "Control group", format_count(summary.control), share, "not to be contacted, and not listed below"
    if summary.revenue_at_risk is not None:
        yield "Revenue at risk", f"{summary.revenue_at_risk:,.0f}", "", words.revenue
    yield (
        "Predictions",
        format_count(summary.total),
        format_percent(known and summary.churn_rate),
        f"of any age, and the share of {words.positive} among them",
    )


def _contacts(plan: ContactPlan, summary: Summary, words: Wording) -> Iterator[tuple[str, str, str, str]]:
    """Yield the most profitable threshold, and the customers that it flags now."""
    cost, value = f"{plan.contact_cost:,g}", f"{plan.customer_value:,g}"
    yield "Best threshold", f"{plan.threshold:.4g}", "", f"cost {cost} / value {value} of a contact"
    share = format_share(plan.customers, summary.customers)
    yield capitalize(words.entities), format_count(plan.customers), share, "at or above it"
    expected, reached = plan.expected_leavers, plan.expected_leavers / (summary.expected_leavers or 1)
    yield words.expected, format_count(round(expected)), format_percent(reached), "among them, and their share of all"
    yield "Expected profit", f"{plan.expected_profit:,.0f}", "", f"value x expected - cost x {words.entities}"


def _change_table(summary: Summary, previous: PreviousPeriod, words: Wording) -> RenderableType:
    """Draw the totals beside those of the period before, if it has any."""
    since, until = (time[:16].replace("T", " ") for time in (previous.since, previous.until))
    if not previous.total:
        return Text(f" No predictions in the period before, {since} to {until} UTC.")
    table = new_table(name_column("Total"), *map(number_column, ("Before", "Now", "Change", "Percent")))
    for name, before, now in (
        (words.expected, round(previous.expected_leavers), round(summary.expected_leavers)),
        ("Flagged", previous.flagged, summary.flagged),
        (capitalize(words.entities), previous.customers, summary.customers),
        ("Predictions", previous.total, summary.total),
    ):
        percent = f"{(now - before) / before:+.1%}" if before else "-"
        table.add_row(name, format_count(before), format_count(now), f"{now - before:+,}", percent)
    return Group(Text(f" Against the period before, {since} to {until} UTC:"), table)


def _facts_table(facts: Iterator[tuple[str, str, str, str]]) -> Table:
    """Draw a row for each name, number, share and explanation."""
    table = Table(box=None, show_header=False, pad_edge=True)
    table.add_column(style="bold", overflow="fold", max_width=_FACT_WIDTH)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    for fact in facts:
        table.add_row(*fact)
    return table


def _segment_table(column: str, segments: Mapping[str, CustomerSegment], words: Wording) -> RenderableType:
    titles, rows = (column, capitalize(words.entities), "Expected", "Share", "Flagged"), []
    for value, segment in segments.items():
        expected, rate = format_count(round(segment.expected_leavers)), format_percent(segment.expected_share)
        rows.append((value, format_count(segment.customers), expected, rate, format_count(segment.flagged)))
    return NamesTable(titles, rows, range(1, len(titles)))


def _reasons_table(reasons: Sequence[MainReason], words: Wording) -> RenderableType:
    """Draw the main reasons of the flagged customers, most frequent first."""
    has_meanings = any(each.meaning for each in reasons)
    columns = [
        Column("Main reason", overflow="fold"),
        number_column(f"Flagged {words.entities}"),
        number_column("Share"),
    ]
    table = new_table(*columns, *[Column("Meaning", overflow="fold")] * has_meanings)
    for each in reasons[:_REASONS]:
        figures = format_count(each.customers), format_percent(each.share)
        table.add_row(safe_text(each.reason), *figures, *[safe_text(each.meaning)] * has_meanings)
    return table


def _customer_table(summary: Summary, words: Wording) -> RenderableType:
    segments = summary.contract.segments
    has_reasons = any(customer.main_reason for customer in summary.top)
    title, reasons = reason_column([customer.main_reason for customer in summary.top])
    titles, rows = ("#", capitalize(words.entity), "Probability", *segments, *[title] * has_reasons), []
    for rank, (customer, reason) in enumerate(zip(summary.top, reasons, strict=True), 1):
        values = [customer.segments[name] for name in segments] + [reason] * has_reasons
        rows.append((format_count(rank), customer.key, format_percent(customer.probability), *values))
    return NamesTable(titles, rows, {0, 2})
