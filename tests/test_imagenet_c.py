"""The mean corruption error relative to AlexNet's published errors: the number, and where it may stand."""

from types import SimpleNamespace

import numpy as np
import pytest

from doublevit.analysis import corrupted
from doublevit.analysis.compare import compare_runs
from doublevit.corruptions import COMMON
from doublevit.report.tables.robustness import robustness_table
from doublevit.runs.conditions import CorruptionSource
from doublevit.runs.model_info import AMONG
from doublevit.statistics.robustness import ALEXNET_ERRORS, alexnet_relative_error, corruption_errors
from made_runs import corruption, make_run, measure, right

RESNET_50 = {
    "gaussian_noise": (29.29, 80),
    "impulse_noise": (23.81, 83),
    "defocus_blur": (38.75, 75),
    "glass_blur": (26.79, 89),
    "frost": (38.14, 75),
    "fog": (45.83, 66),
    "brightness": (68.02, 57),
    "contrast": (39.06, 71),
    "elastic_transform": (45.25, 85),
}
"""torchvision's ResNet-50: mean top-1 over severities, as others measured it, and Table 1's CE in the paper."""
TABLE_1 = (80, 82, 83, 75, 89, 78, 80, 78, 75, 66, 57, 71, 85, 77, 77)
"""ResNet-50's CE of every corruption in the paper (Hendrycks and Dietterich 2019), whose mCE is 76.7."""
CELLS = [(name, severity) for name in COMMON for severity in range(1, 6)]


def test_resnet_50s_corruption_errors_are_the_papers():
    assert tuple(ALEXNET_ERRORS) == COMMON
    errors = np.repeat([1 - accuracy / 100 for accuracy, _ in RESNET_50.values()], 5)
    ratios = corruption_errors(errors, [name for name in RESNET_50 for _ in range(5)])
    assert [round(100 * ratio) for ratio in ratios] == [expected for _, expected in RESNET_50.values()]
    all_errors = np.repeat(np.array(TABLE_1) / 100 * np.array(list(ALEXNET_ERRORS.values())), 5)
    assert 100 * corruption_errors(all_errors, [name for name, _ in CELLS]).mean() == pytest.approx(76.7, abs=0.5)


def test_the_estimate_is_the_formula_and_its_interval_that_of_a_mean():
    random = np.random.default_rng(0)
    cells = random.random((75, 400)) < np.linspace(0.2, 0.8, 75)[:, None]
    order = random.permutation(75)
    names = [CELLS[index][0] for index in order]
    estimate = alexnet_relative_error(cells[order], names)
    by_hand = [(1 - cells[5 * i : 5 * i + 5].mean()) / ALEXNET_ERRORS[name] for i, name in enumerate(COMMON)]
    assert estimate.value == pytest.approx(np.mean(by_hand))
    weights = np.array([1 / ALEXNET_ERRORS[name] / 75 for name, _ in CELLS])
    error = (weights @ ~cells).std() / 20
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    for wrong in (names[:-1], ["fog"] * 75):
        with pytest.raises(ValueError, match="fifteen common corruptions at five severities"):
            alexnet_relative_error(cells[: len(wrong)], wrong)


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A function that makes a run with all cells, and returns the columns of its table and its caption."""
    corrupted._is_imagenet.cache_clear()

    def make(
        classes: int = 1000, side: int = 224, constants: str | None = "imagenet", kind: str = "home-made", **of: str
    ):
        info = SimpleNamespace(side=side, class_ids=tuple(f"n{number:08}" for number in range(classes)))
        monkeypatch.setattr(corrupted, "read_info", lambda path: info)
        run = make_run(tmp_path, f"run-{classes}-{side}-{constants}-{kind}-{len(of)}")
        (run.path / "model.json").write_text("{}")
        source = CorruptionSource(kind=kind, constants=constants, seed=0, version=1)
        measure(run, right(40, 50), **of)
        for name, severity in CELLS:
            measure(run, right(45 - 5 * severity, 50), corruption(name, severity, source), **of)
        comparison = compare_runs([run.path])
        table = robustness_table(comparison, next(c for c in comparison.corrupted if c.group.name.startswith("common")))
        return {column.name: cell for column, cell in zip(table.columns, table.rows[0], strict=True)}, table.caption

    return make


def test_the_column_stands_beside_imagenets_classes_at_224_pixels_only(measured):
    cells, caption = measured()
    expected = np.mean([0.4 / error for error in ALEXNET_ERRORS.values()])  # 40 to 20 of 50 are right: 60 %
    assert cells["mce"].value == pytest.approx(expected)
    assert "AlexNet's on ImageNet-C as published" in caption
    assert measured(kind="published")[0]["mce"].value == pytest.approx(expected)  # ImageNet-C itself
    tiny_c, some = {"kind": "published", "constants": None}, {"model": f"vit{AMONG}200 of 1,000 classes"}
    for other in ({"classes": 200}, {"side": 64}, {"constants": "tiny"}, tiny_c, some):
        cells, caption = measured(**other)
        assert "mce" not in cells
        assert "AlexNet" not in caption
