"""How far people agree, and whose votes say little, as a page: from what `quality.survey` found, as plain values."""

from collections.abc import Mapping
from typing import Any

from accord.report.charts import Line, Spot, interval_bar, line_chart, spot_chart
from accord.report.document import PAGES
from accord.report.facts import Estimate, Point
from accord.report.parts import Card, Picture, Remark, Table, bounds, bracketed
from accord.report.words import count, percent

Found = Mapping[str, Any]

KINDS = {
    "says little": "Votes that say little",
    "one-sided": "One side, whatever stands there",
    "coordinated": "Copies, or answers settled beforehand",
    "too fast": "Faster than anybody reads",
    "failed controls": "Control questions failed",
}
#: A membership that is not put in figures.
SURELY = 0.95


def render(title: str, found: Found) -> str:
    """The page as text. `found` is what `Survey.brief` gives."""
    return PAGES.get_template("quality.html").render(title=title, quality=shown(found))


def shown(found: Found) -> dict[str, Any]:
    """What the sections of the page are filled in with."""
    return {
        "lead": lead(found),
        "cards": cards(found),
        "remarks": remarks(found),
        "pictures": pictures(found),
        "tables": [table for table in (labels(found), voters(found), prompts(found), tags(found)) if table],
        "findings": findings(found),
        "splits": splits(found),
    }


def lead(found: Found) -> str:
    """Who said how much."""
    simulated = found["simulated"]
    who = count(found["annotators"], "annotator")
    if simulated:
        who += ", all of them simulated" if simulated == found["annotators"] else f", {simulated:,} of them simulated"
    return f"{count(found['votes'], 'vote')} on {count(found['pairs'], 'pair')} by {who}."


def cards(found: Found) -> list[Card]:
    """The figures that matter."""
    agreement, ac1 = found["agreement"], found["ac1"]
    made = [
        _measure("Agreement (Krippendorff’s α)", agreement, agreement["alpha"], "1 all agree, 0 chance"),
        _measure("Gwet’s AC1", ac1, ac1["value"], "holds where one answer dominates"),
    ]
    if found["strengths"]:
        made.append(_measure("α of strengths", found["strengths"], found["strengths"]["value"], "how much better, too"))
    if agreement["observed"] is not None:
        made.append(Card("Two people say the same", percent(agreement["observed"]), "", "of a pair that both judged"))
    label = next((each for each in found["labels"] if each["method"] == "dawid_skene"), None)
    if label and label["pairs"]:
        share = Estimate(label["tosses"] / label["pairs"], label["low"], label["high"])
        note = "labels by Dawid–Skene with |p − ½| < 0.1"
        bar = interval_bar(share, f"Close to a coin toss: {percent(share.value)}{bracketed(share, percent)}")
        made.append(Card("Close to a coin toss", percent(share.value), bounds(share, percent), note, bar))
    return made


def _nats(x: float) -> str:
    return f"{x:+.4f}".replace("-", "−")


def _two(x: float) -> str:
    return f"{x:.2f}".replace("-", "−")


def _measure(label: str, measured: Mapping[str, Any], value: float | None, note: str) -> Card:
    if value is None:
        return Card(label, "–", "", f"not known: {measured['undefined']}")
    return Card(label, _two(value), bounds(Estimate(value, measured["low"], measured["high"]), _two), note)


def remarks(found: Found) -> list[Remark]:
    """One taste or two, and whose votes to look at, in words."""
    made = []
    if groups := found["groups"]:
        made.append(_tastes(groups))
    if n := found["of"]["findings"]:
        who = len({one["annotator_id"] for one in found["findings"]})
        more = "" if n == len(found["findings"]) else " at least"
        made.append(
            Remark(
                "warning",
                f"Something speaks against{more} {count(who, 'annotator')}",
                "The evidence is below. Nobody was removed, and all votes count in full unless you say otherwise.",
                f"Read the evidence, talk to them. {_what_helps({one['kind'] for one in found['findings']})}",
            )
        )
    else:
        made.append(
            Remark("good", "Nothing speaks against anybody", "No votes by chance, by side, by copying, too fast.")
        )
    return made


def _what_helps(kinds: set[str]) -> str:
    little = "Labels by `dawid_skene` believe those less whose votes say little." if "says little" in kinds else ""
    others = "Training with `--weigh_annotators` counts votes less of the others." if kinds - {"says little"} else ""
    if not little:
        others = "Training with `--weigh_annotators` counts such votes less."
    return f"{little} {others}".strip()


def _tastes(groups: Mapping[str, Any]) -> Remark:
    gain = Estimate(groups["gain"], groups["gain"] - 1.96 * groups["error"], groups["gain"] + 1.96 * groups["error"])
    told = f"{_nats(gain.value)}{bracketed(gain, _nats)} nats a vote, on annotators that the fit had not seen"
    if not groups["groups"]:
        return Remark("note", "One taste explains the votes", f"Two would foretell them no better: {told}.")
    first, second = groups["groups"]
    longer = ""
    if first["longer"] is not None and second["longer"] is not None:
        longer = (
            f" Group 1 would rather have the longer answer in {percent(first['longer'])} of the pairs, "
            f"group 2 in {percent(second['longer'])}."
        )
    return Remark(
        "warning",
        "People have two tastes, not one",
        f"Two foretell their votes better than one: {told}. {first['annotators']:,} annotators are of group 1 and "
        f"{second['annotators']:,} of group 2; they would choose alike in {percent(groups['same'] or 0)} of the pairs."
        f"{longer} A label of all votes is what neither wants.",
        "Train for one with `--group 1` or `--group 2`, or ask people what they look for.",
    )


def pictures(found: Found) -> list[Picture]:
    """What annotators know; agreement in time."""
    people = sorted(found["voters"], key=lambda one: -one["knowledge"])
    drawn = []
    if len(people) > 1:
        spots = [
            Spot(
                "",
                "rejected" if one["suspect"] else "one",
                Estimate(place, None, None),
                Estimate(one["knowledge"], *_within(one["knowledge"], one["knowledge_error"])),
            )
            for place, one in enumerate(people, 1)
        ]
        drawn.append(
            Picture(
                "How much votes tell",
                f"Each mark is an annotator{_of_all(found)}, the most knowing first: which share of the questions "
                "they know, as the others’ votes show, with its 95 % interval. By chance: 0 %.",
                spot_chart(
                    spots, "Share of the questions answered with knowledge, by annotator", percent, baseline=0.0
                ),
                [("nothing found", "one", False), ("something found", "rejected", False)],
            )
        )
    parts = [(n, part) for n, part in enumerate(found["by_time"], 1) if part["alpha"] is not None]
    if len(parts) > 1 and len({part["name"].split("/")[0][:16] for _, part in parts}) > 1:
        since, until = (parts[at][1]["name"].split("/")[at][:16].replace("T", " ") for at in (0, -1))
        line = Line("α", "one", [Point(n, part["alpha"]) for n, part in parts])
        drawn.append(
            Picture(
                "Agreement in time",
                f"α of the votes in {len(found['by_time'])} parts of equal size, from {since} to {until}.",
                line_chart([line], "Krippendorff's α over parts of the votes, in the order of time", baseline=0.0),
                [("α", "one", False)],
            )
        )
    return drawn


def _of_all(found: Found) -> str:
    shown_, all_ = len(found["voters"]), found["of"]["voters"]
    return f" ({shown_:,} of {all_:,}: who voted most)" if shown_ < all_ else ""


def _within(mean: float, error: float) -> tuple[float, float]:
    return max(mean - 1.96 * error, 0.0), min(mean + 1.96 * error, 1.0)


def findings(found: Found) -> Table | None:
    """What speaks against whom."""
    rows = [
        [one["annotator_id"], KINDS.get(one["kind"], one["kind"]), one["evidence"], _weight(one)]
        for one in found["findings"]
    ]
    return Table("Who", ["What", "Evidence", "Weight"], rows, _first(found, "findings")) if rows else None


def _weight(finding: Mapping[str, Any]) -> str:
    return "–" if finding["kind"] == "says little" else f"{finding['weight']:.2f}"


def splits(found: Found) -> Table | None:
    """What the two groups would choose differently."""
    groups = found["groups"]
    if not groups or not groups["splits"]:
        return None
    text = found["texts"]
    rows = [
        [
            text.get(one["prompt_id"], one["prompt_id"]),
            f"{text.get(one['first_choice'], one['first_choice'])} ({percent(one['p_first'])})",
            f"{text.get(one['second_choice'], one['second_choice'])} ({percent(1 - one['p_second'])})",
        ]
        for one in groups["splits"]
    ]
    return Table("Prompt", ["Group 1 would rather have", "Group 2"], rows, _first(found, "splits"))


def labels(found: Found) -> Table:
    """What each method makes of the votes."""
    rows = []
    for each in found["labels"]:
        share = Estimate(each["tosses"] / max(each["pairs"], 1), each["low"], each["high"])
        rows.append([each["method"], f"{each['pairs']:,}", percent(share.value) + bracketed(share, percent)])
    says = "How many labels each `--labels` leaves close to a coin toss, with the 95 % interval of their share."
    return Table("Labels", ["Pairs", "Close to a coin toss"], rows, says)


def voters(found: Found) -> Table:
    """Who voted most."""
    grouped = any(one["first_group"] is not None for one in found["voters"])
    head = ["Votes", "Ties", "Left", "Knows", "α without them", "Weight", *(["Group"] if grouped else [])]
    rows = [
        [
            one["annotator_id"],
            f"{one['votes']:,}",
            percent(one["ties"]),
            "–" if one["left"] is None else percent(one["left"]),
            f"{100 * one['knowledge']:.0f} ± {100 * one['knowledge_error']:.0f} %",
            "–" if one["without_them"] is None else f"{one['without_them']:+.3f}".replace("-", "−"),
            f"{one['weight']:.2f}",
            *([] if one["first_group"] is None else [_group(one["first_group"])]),
        ]
        for one in found["voters"]
    ]
    says = (
        "Left: share of the left side in shuffled votes but ties. Knows: share of the questions answered with "
        "knowledge, with its standard error. α without them: by how much agreement would rise. Weight: what is left of "
        "their votes with `--weigh_annotators`, which leaves it to `--labels` whose votes say little. "
        f"{_first(found, 'voters')}"
    )
    return Table("Annotators", head, rows, says)


def _group(first: float) -> str:
    number, p = ("1", first) if first >= 0.5 else ("2", 1 - first)
    return number if p > SURELY else f"{number} ({percent(p)})"


def prompts(found: Found) -> Table | None:
    """On which prompts people agree least."""
    if len(found["by_prompt"]) < 2:
        return None
    return _parts("Prompts on which people agree least", found["by_prompt"], found["texts"], _first(found, "by_prompt"))


def tags(found: Found) -> Table | None:
    """How far people agree on votes with each tag."""
    return _parts("Tags", found["by_tag"], {}, "") if found["by_tag"] else None


def _parts(title: str, parts: list[Mapping[str, Any]], texts: Mapping[str, str], says: str) -> Table:
    rows = []
    for part in parts:
        alpha = Estimate(part["alpha"] or 0.0, part["low"], part["high"])
        shown_alpha = "–" if part["alpha"] is None else _two(alpha.value) + bracketed(alpha, _two)
        rows.append([texts.get(part["name"], part["name"]), f"{part['votes']:,}", shown_alpha])
    return Table(title, ["Votes", "α"], rows, says)


def _first(found: Found, name: str) -> str:
    shown_, all_ = len(found["groups"]["splits"] if name == "splits" else found[name]), found["of"][name]
    return f"The first {shown_:,} of {all_:,}; `accord quality --json` has them all." if shown_ < all_ else ""
