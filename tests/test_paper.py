"""The paper's numbers: as printed in its text, and recomputed by hand."""

import re
import subprocess
import sys
from decimal import Decimal

import pytest

from doublevit.analysis import paper
from doublevit.analysis.paper import Check, PrintedAccuracy, checks, printed_accuracies, rounding_bounds


def test_tables_are_those_of_the_paper(shared):
    """Every row of both tables is in its text, tab by tab."""
    lines = {line.strip() for line in (shared / "paper.txt").read_text().splitlines()}
    for table in (paper.TABLE_1, paper.TABLE_2):
        for model, texts in table.items():
            assert "\t".join((model, *texts)) in lines
    assert (len(paper.TABLE_1), len(paper.TABLE_2)) == (5, 11)
    assert "\t".join(("Model", *paper.COLUMNS_1)) in lines


def test_numbers_of_sections_3_to_5(shared):
    """Each with its unit, in the order in which the text has them."""
    text = " ".join((shared / "paper.txt").read_text().replace("\\", "").split())
    minutes, errors, epochs = (
        re.findall(pattern, text) for pattern in (r"(\d+) minutes", r"error rate of ([\d.]+)%", r"(\d+) epochs")
    )
    assert minutes == [paper.MINUTES_PER_EPOCH[paper.LARGER_VIT], paper.MINUTES_PER_EPOCH["DoubleViT"]]
    assert errors == [paper.ERRORS["DoubleViT"], paper.ERRORS[paper.LARGER_VIT]]
    assert epochs == [paper.EPOCHS["section 3.4"], paper.EPOCHS["section 5"]]
    assert paper.LARGER_VIT in text


@pytest.mark.parametrize(
    ("printed", "low", "high"),
    [("68.0", "67.95", "68.05"), ("70.63", "70.625", "70.635"), ("75", "74.5", "75.5"), ("-14.6", "-14.65", "-14.55")],
)
def test_digits_say_how_a_number_was_rounded(printed, low, high):
    assert rounding_bounds(printed) == (Decimal(low), Decimal(high))


BY_HAND = {  # sums of five: 344.33, 356.9, 344.5, 346.9, 345.6; averages, changes by the printed ones and by these
    "ViT": ("68.87 (68.82 to 68.91)", "-13.01 (-13.12 to -12.89)", "-13.05 (-13.15 to -12.94)"),
    "PiT": ("71.38 (71.33 to 71.43)", "-16.30 (-16.40 to -16.19)", "-16.32 (-16.43 to -16.21)"),
    "DoubleViT": ("68.90 (68.85 to 68.95)", "-15.04 (-15.16 to -14.93)", "-15.04 (-15.16 to -14.93)"),
    "DoubleViT+Cross": ("69.38 (69.33 to 69.43)", "-14.53 (-14.65 to -14.42)", "-14.56 (-14.67 to -14.44)"),
    "DoubleViT+2Cross": ("69.12 (69.07 to 69.17)", "-14.37 (-14.49 to -14.26)", "-14.35 (-14.46 to -14.23)"),
}


@pytest.mark.parametrize("model", BY_HAND)
def test_table_1_adds_up(model):
    of_model = [check for check in checks() if check.claim.startswith(f"Table 1, {model}:")]
    assert [check.recomputed for check in of_model] == list(BY_HAND[model])
    assert [check.stated for check in of_model] == [*paper.TABLE_1[model][6:], paper.TABLE_1[model][7]]
    assert all(check.agrees for check in of_model)


def test_bounds_of_a_change_by_hand():
    """69.4 may be 69.35 and 81.2 nearly 81.25: -14.646, so that -14.6 may be right where -14.532 says -14.5."""
    low, high = 100 * (69.35 / 81.25 - 1), 100 * (69.45 / 81.15 - 1)
    assert (f"{low:.2f}", f"{high:.2f}") == ("-14.65", "-14.42")
    assert low < -14.55 < high
    assert BY_HAND["DoubleViT+Cross"][1].endswith(f"({low:.2f} to {high:.2f})")


@pytest.mark.parametrize(
    ("place", "printed", "wrong"),
    [
        (6, "69.5", [0, 1]),  # 69.45 or more, but the cells give 69.43 at most
        (6, "69.3", []),  # 69.35 at most, and the cells give 69.33 at least
        (7, "-14.7", [1]),  # 69.35 / 81.25 gives -14.646 at least, the cells' 69.33 gives -14.671
        (7, "-14.8", [1, 2]),
        (7, "-14.4", []),
        (3, "76.2", [0, 2]),  # a cell five higher raises the average by one
        (0, "82.2", [1, 2]),
    ],
)
def test_a_wrong_digit_is_found(monkeypatch, place, printed, wrong):
    texts = list(paper.TABLE_1["DoubleViT+Cross"])
    texts[place] = printed
    monkeypatch.setitem(paper.TABLE_1, "DoubleViT+Cross", tuple(texts))
    found = [check.agrees for check in checks() if check.claim.startswith("Table 1, DoubleViT+Cross:")]
    assert [number for number, agrees in enumerate(found) if not agrees] == wrong


def test_all_that_does_not_add_up():
    names = "DoubleViT < DoubleViT+Cross < DoubleViT+2Cross"
    assert [(check.stated, check.recomputed) for check in checks() if not check.agrees] == [
        ("79.2", "79.1"),
        ("79.2", "78.4"),
        ("10", "2"),
        ("PiT < PiT+Aug", "85.5, 85.3"),
        ("ViT < InceptionResnetV2", "78.4, 67.3"),
        ("PiT < DoubleViT", "71.4, 68.9"),
        (names, "68.9, 69.4, 69.1"),
        ("DoubleViT < DoubleViT+2Cross", "81.1, 80.7"),
    ]


def test_what_holds():
    agreed = {(check.stated, check.recomputed) for check in checks() if check.agrees}
    assert {("81", "81.1"), ("81", "81.2"), ("81", "80.7"), ("85", "85.3"), ("18.9", "18.9")} <= agreed
    assert ("DoubleViT < DoubleViT+Cross < DoubleViT+2Cross", "-15.0, -14.6, -14.4") in agreed
    assert ("DoubleViT < DoubleViT-Cross < DoubleViT-2Cross", "90.8, 91.6, 91.9") in agreed
    assert (f"DoubleViT < {paper.LARGER_VIT}", "18.9, 20.1") in agreed
    assert (f"DoubleViT < {paper.LARGER_VIT}", "20, 50") in agreed
    assert len({check.claim for check in checks()}) == len(checks()) == 15 + 12 + 17
    assert all(isinstance(check, Check) for check in checks())


def test_numbers_that_meet_at_their_ends_alone_are_not_the_same():
    """79.15 is printed as one of 79.1 and 79.2, not as both; as 79 or 79.2 it may well be."""
    assert not paper._overlap(rounding_bounds("79.1"), rounding_bounds("79.2"))
    assert paper._overlap(rounding_bounds("79"), rounding_bounds("79.2"))
    assert not paper._overlap(rounding_bounds("79"), rounding_bounds("79.6"))


def test_accuracies_as_images():
    facts = printed_accuracies()
    assert len(facts) == 5 * 6 + 11 * 2
    assert PrintedAccuracy(1, "ViT", "Motion Blur", "70.63", 7063, 10_000) in facts
    assert PrintedAccuracy(2, "ViT+Aug+Sparse", "Top 1 Val Accuracy", "75", 7500, 10_000) in facts
    assert PrintedAccuracy(2, "DoubleViT-2Cross", "Top 3 Val Accuracy", "91.9", 9190, 10_000) in facts
    assert not [fact for fact in facts if fact.column in ("Average", "% Change")]


def test_neither_paper_nor_statistics_need_torch():
    code = "import doublevit.analysis.paper, doublevit.statistics, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
