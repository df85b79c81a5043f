"""What a measure of agreement means, in words."""

from accord.quality.agreement import Agreement

#: From so high an α on -> what it means. 0.8 and 0.667 are Krippendorff's own (Content Analysis, 2004, ch. 11).
MEANS = (
    (0.8, "People agree well: labels of single votes can be relied on."),
    (0.667, "People agree well enough for most conclusions."),
    (0.4, "People agree on much, and differ on much. Several votes a question make good labels."),
    (0.2, "People agree somewhat, as is usual where taste decides. Ask several for each question."),
    (0.0, "People agree little beyond chance. Is the guideline clear? Are the answers very alike?"),
)
AGAINST = "People disagree more than chance would. Do they read the question in opposite ways?"


def in_words(found: Agreement) -> str:
    """What α means here; where there is none, why."""
    if found.alpha is None:
        return {
            0: "Nobody knows yet: no question has the answers of two people.",
            1: "Nobody knows yet: only one question has the answers of two people.",
        }.get(found.items, "There is no measure of agreement beyond chance where everybody always says the same.")
    if found.low is not None and found.low <= 0.0 <= (found.high or 0.0):
        return "So far this could be chance. More answers will tell."
    return next((means for least, means in MEANS if found.alpha >= least), AGAINST)
