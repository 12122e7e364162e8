"""Every command of the README runs, on images in miniature, and means what the README says."""

import contextlib
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from doublevit.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.strip()
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip() and not line.startswith("#")
]
FEW = {  # steps, where the README asks for an attack
    "autoattack": ["--attack.square.queries", "100", "--attack.fab.steps", "10", "--attack.apgd.steps", "10"],
    "pgd": ["--attack.pgd.steps", "5"],
}
STARTS = ("run", "train", "study")  # what takes a recipe's options
QUICK = {
    "digits-double": ["--train.epochs", "1", "--data.per-class", "5"],
    "ti-double-cross": ["--train.epochs", "1"],
    "digits": ["--train.epochs", "1", "--data.per-class", "2", "--cells", "resnet", "--attack-samples", "10"],
    "paper-ti": ["--cells", "vit"],
    "ablation-digits": ["--train.epochs", "1", "--data.per-class", "2", "--cells", "base", "top-k-4"],
    "paper-double-cross": ["--train.epochs", "0", "--model.weights", "none", "--data.path", "tiny-imagenet-200.zip"],
}


def command_id(command: str) -> str:
    return re.sub(r"[^\w-]+", " ", command)[:60].strip()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs that the README's commands name, after hardly any training."""
    path = tmp_path_factory.mktemp("runs")
    quick = ["digits-double", "--train.epochs", "1", "--data.per-class", "2", "--runs", str(path)]
    main(["run", *quick, "--name", "first"])
    main(["train", *quick, "--name", "second"])
    network = ["--model.backbone", "test_resnet", "--model.image-size", "32", "--model.coarse", "None"]
    main(["train", *quick, *network, "--model.cross.after", "--name", "resnet"])
    for name in ("first", "second"):
        main(["evaluate", str(path / name)])
    return path


@pytest.fixture
def workplace(tmp_path: Path, runs: Path, tiny_zip: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the README's commands name."""
    shutil.copytree(runs, tmp_path / "runs", symlinks=True)
    shutil.copy(tiny_zip, tmp_path / "tiny-imagenet-200.zip")
    image_folder.rename(tmp_path / "photos")
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("doublevit")], ids=command_id)
def test_command_of_the_readme(command, workplace, request):
    if "vit_tiny" in command:
        weights = Path(request.getfixturevalue("vit_weights"))
        (workplace / "vit_tiny_patch16_224.safetensors").symlink_to(weights)
    if "--corrupted-set photos-c" in command:
        main(["data", "corrupt", "--corruptions", "fog", "--first", "9", "--workers", "1", "--output", "photos-c"])
    arguments = shlex.split(command)[1:]
    extra = QUICK.get(arguments[1], []) if arguments[0] in STARTS and "--resume" not in arguments else []
    extra = next((FEW[name] for name in FEW if name in arguments), extra)
    has_data = arguments[0] in (*STARTS, "data") and "--resume" not in arguments
    cache = ["--data.cache", str(workplace / "cache")] if has_data else []
    ends = pytest.raises(SystemExit, match=r"^0$") if "--help" in arguments else contextlib.nullcontext()
    with ends:
        main([*arguments, *extra, *cache])


def test_other_commands_are_the_makefiles_or_git_and_pip():
    for command in COMMANDS:
        if not command.startswith("doublevit"):
            assert re.match(r"make (demo|test)\b|(\.venv/bin/)?pip install |python benchmarks/|source ", command), (
                command
            )
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(COMMANDS), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_no_figure_is_missing():
    assert not re.search(r"RESULT_|BENCH_|TODO", README + (ROOT / "EXPERIMENTS.md").read_text())


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/design.md"])
def test_code_that_a_document_names_is_there(document):
    files = [str(path) for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    for name in re.findall(r"([\w/]+\.py)\b", (ROOT / document).read_text()):
        assert any(path.endswith(f"/{name}") for path in files), name


def test_pictures_and_files_that_the_readme_names_exist():
    for target in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", README):
        path = next(filter(None, target))
        assert path.startswith("http") or os.path.exists(ROOT / path), path  # noqa: PTH110
