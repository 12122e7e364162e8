"""AutoAttack and its parts by name. No torch here.

Croce and Hein (2020), "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
attacks".
"""

from doublevit.attacks.entry import Entry

BALLS = ("linf", "l2")

PARTS: dict[str, Entry] = {
    "apgd-ce": Entry("Auto-PGD on the cross-entropy", BALLS, "white-box", random=True),
    "apgd-dlr": Entry("Auto-PGD on the difference of logits ratio", BALLS, "white-box", random=True, classes=3),
    "apgd-dlr-t": Entry(
        "the same, towards the nine likeliest classes in turn", BALLS, "white-box", random=True, classes=4
    ),
    "fab-t": Entry("FAB: the nearest boundary, towards nine classes in turn", BALLS, "white-box", shared=True),
    "square": Entry("squares that are kept where they help; by logits only", BALLS, "black-box", random=True),
    "apgd-ce-eot": Entry("apgd-ce, each gradient a mean over passes", BALLS, "white-box", random=True),
    "apgd-dlr-eot": Entry("apgd-dlr, each gradient a mean over passes", BALLS, "white-box", random=True, classes=3),
}

ENSEMBLES: dict[str, tuple[str, ...]] = {
    "autoattack": ("apgd-ce", "apgd-dlr-t", "fab-t", "square"),
    "autoattack-rand": ("apgd-ce-eot", "apgd-dlr-eot"),
}
"""Each part attacks what those before it have left. `autoattack` is the standard version, `-rand` for random models."""
