"""Every command and every piece of Python in the README and in docs/ runs, on images in miniature."""

import itertools
import json
import re
import shlex
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import make_image_folder
from doublevit.cli import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands_of(document: Path) -> Iterator[str]:
    """The commands of a document's sh blocks, without comments."""
    for block in re.findall(r"```sh\n(.*?)```", document.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield shlex.join(words)


COMMANDS = list(dict.fromkeys(command for document in DOCUMENTS for command in commands_of(document)))
"""Each once, however many documents have it."""
OURS = [command for command in COMMANDS if command.startswith("doublevit")]
PYTHON = [
    pytest.param(block, id=f"{document.name}-{number}")
    for document in DOCUMENTS
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL))
]
FEW = {  # steps of an attack, corruptions, images, seconds
    "autoattack": ["--attack.square.queries", "50", "--attack.fab.steps", "5", "--attack.apgd.steps", "5"],
    "pgd": ["--attack.pgd.steps", "5", "--samples", "50"],
    "common": ["--severities", "3", "--samples", "50"],
    "snow": ["--samples", "50"],
    "speed": ["--seconds", "0.2"],
    "merge": ["--samples", "4"],
    "square": ["--attack.square.queries", "20", "--samples", "4"],
}
STARTS = ("run", "train", "study")  # what takes a recipe's options
NETWORK = ["--weights", "none", "--epochs", "0"]
SHORT = ["--epochs", "1", "--data.per-class", "2", "--samples", "50"]
QUICK = {
    "--model": NETWORK,
    "digits-double": ["--epochs", "1", "--data.per-class", "5"],
    "ti-double-cross": ["--epochs", "1"],
    "digits": [
        "--epochs",
        "1",
        "--data.per-class",
        "2",
        "--cells",
        "resnet",
        "--samples",
        "50",
        "--attack-samples",
        "10",
    ],
    "ablation-digits": ["--epochs", "1", "--data.per-class", "2", "--samples", "50", "--cells", "base", "top-k-4"],
    "paper-ti": ["--cells", "vit"],
    "ablation-ti": ["--cells", "base"],
    "paper": ["--cells", "vit"],
    "paper-double-cross": ["--epochs", "0", "--weights", "none", "--data", "tiny-imagenet-200.zip"],
}


def command_id(command: str) -> str:
    return re.sub(r"[^\w-]+", " ", command)[:80].strip()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs that the commands name, after hardly any training."""
    path = tmp_path_factory.mktemp("runs")
    quick = ["digits-double", "--epochs", "1", "--data.per-class", "2", "--runs", str(path)]
    network = ["--model", "test_resnet", "--model.image-size", "32", "--model.coarse", "None", "--model.cross.after"]
    for name, options in {"first": [], "second": [], "resnet": network}.items():
        main(["train", *quick, *options, "--name", name])
    for name, source in {"start": "first", "tuned": "second"}.items():
        shutil.copytree(path / source, path / name, symlinks=True)
    pets = ["--data", str(make_image_folder(path / "pets-images")), "--data.cache", str(path / "cache")]
    tiny = ["--model", "test_vit", "--model.image-size", "32", "--data.size", "32", *NETWORK]
    main(["train", *tiny, *pets, "--output", str(path), "--name", "pets"])
    for name in ("first", "second"):
        main(["evaluate", str(path / name), "--corruptions", "fog", "--severities", "3"])
    return path


@pytest.fixture(scope="module")
def pets_onnx(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "pets.onnx"
    main(["export", str(runs / "pets"), "--format", "onnx", "--output", str(path)])
    return path


@pytest.fixture
def workplace(tmp_path: Path, runs: Path, tiny_zip: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the commands name."""
    shutil.copytree(runs, tmp_path / "runs", symlinks=True)
    shutil.copy(tiny_zip, tmp_path / "tiny-imagenet-200.zip")
    image_folder.rename(tmp_path / "photos")
    (tmp_path / "weights").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", OURS, ids=command_id)
def test_command_of_a_document(command, workplace, request):
    arguments = shlex.split(command)[1:]
    prepare(arguments, workplace, request)
    try:
        main([*arguments, *quickly(arguments), *cache_for(arguments, workplace)])
    except SystemExit as end:  # of help
        if end.code:
            raise


def prepare(arguments: list[str], workplace: Path, request: pytest.FixtureRequest) -> None:
    """Put there, or away, what a command wants to find or not to find."""
    if "vit_tiny_patch16_224.safetensors" in arguments:
        weights = Path(request.getfixturevalue("vit_weights"))
        (workplace / "vit_tiny_patch16_224.safetensors").symlink_to(weights)
    if "--corrupted-set" in arguments:
        main(["data", "corrupt", "--corruptions", "fog", "--first", "9", "--workers", "1", "--output", "photos-c"])
    make_sources(arguments)
    if "pets.onnx" in arguments and arguments[0] != "export":
        shutil.copy(request.getfixturevalue("pets_onnx"), workplace)
    if "--name" in arguments:
        shutil.rmtree(workplace / "runs" / arguments[arguments.index("--name") + 1], ignore_errors=True)


def make_sources(arguments: list[str]) -> None:
    """Make the list, parquet, shards or test images that a command names, of the images in photos."""
    files = sorted(file for file in Path("photos").rglob("*.*") if file.is_file())
    if "labels.csv" in arguments:
        lines = [f"{file.as_posix()},{file.parent.name},{file.parent.parent.name}" for file in files]
        Path("labels.csv").write_text("\n".join(["path,label,split", *lines]))
    make_imagenets(arguments, files)
    if {"test", "test=photos/test"} & {*arguments}:
        shutil.copytree(Path("photos") / "val", Path("photos") / "test")
        if "--data" not in arguments:  # a run's own images lie where the run was made
            own = Path(json.loads(Path("runs/pets/recipe.json").read_text())["data"]["path"])
            shutil.copytree(own / "val", own / "test", dirs_exist_ok=True)
    if "parquet" in arguments:
        datasets = pytest.importorskip("datasets")
        images = [{"bytes": file.read_bytes()} for file in files]
        rows = {"image": images, "label": [file.parent.name for file in files]}
        Path("parquet").mkdir()
        datasets.Dataset.from_dict(rows).to_parquet("parquet/0.parquet")
    if any(argument.startswith("wds:") for argument in arguments):
        Path("shards").mkdir()
        for split, number in itertools.product(("train", "val"), range(2)):
            of_split = [file for file in files if file.parts[1] == split]
            make_shard(Path(f"shards/{split}-{number:03d}.tar"), of_split[number::2])


def make_imagenets(arguments: list[str], files: list[Path]) -> None:
    """Make those of the sets of ImageNet's classes that a command names, of two wnids."""
    for place in {"imagenet-a", "imagenet-sketch", "imagenet/val"} & {*arguments}:
        for wnid, file in zip(("n02123045", "n02109961"), files, strict=False):
            (Path(place) / wnid).mkdir(parents=True)
            shutil.copy(file, Path(place) / wnid)


def make_shard(path: Path, files: list[Path]) -> None:
    with tarfile.open(path, "w") as archive:
        for file in files:
            key = f"{file.parent.name}{file.stem}"
            file.with_suffix(".cls").write_text(file.parent.name)
            archive.add(file, f"{key}{file.suffix}")
            archive.add(file.with_suffix(".cls"), f"{key}.cls")


def quickly(arguments: list[str]) -> list[str]:
    """Options that make a command cheap and leave it what it is."""
    if asks_only(arguments):
        return []
    if arguments[0] in STARTS:
        return QUICK.get(arguments[1], [])
    return next((options for name, options in FEW.items() if name in arguments), [])


def cache_for(arguments: list[str], workplace: Path) -> list[str]:
    """A cache of the test's own, for what decodes images."""
    has_data = arguments[0] in (*STARTS, "data") and not asks_only(arguments)
    return ["--data.cache", str(workplace / "cache")] if has_data else []


def asks_only(arguments: list[str]) -> bool:
    """Whether a command takes no option beside those that it has."""
    return not {"--help", "--help-attacks", "--version", "--resume"}.isdisjoint(arguments)


@pytest.mark.parametrize("code", PYTHON)
def test_python_of_a_document(code, workplace):
    exec(compile(code, "document", "exec"), {})


OTHERS = r"make (demo|test)\b|(\.venv/bin/)?pip install |python benchmarks/|source |torchrun |accelerate launch "


def test_other_commands_are_the_makefiles_or_git_and_pip():
    for command in set(COMMANDS) - set(OURS):
        assert re.match(OTHERS, command), command
        if benchmark := re.match(r"python (\S+)", command):
            text = (ROOT / benchmark[1]).read_text()
            for option in re.findall(r"--[\w-]+", command):
                assert re.search(rf"^    {option[2:].replace('-', '_')}: ", text, re.MULTILINE), option
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(COMMANDS), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_no_figure_is_missing():
    texts = [path.read_text() for path in (*DOCUMENTS, ROOT / "EXPERIMENTS.md")]
    assert not re.search(r"RESULT_|BENCH_|TODO", "".join(texts))


@pytest.mark.parametrize("document", [*(path.relative_to(ROOT).as_posix() for path in DOCUMENTS), "CONTRIBUTING.md"])
def test_code_that_a_document_names_is_there(document):
    files = [str(path) for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    for name in re.findall(r"([\w/]+\.py)\b", (ROOT / document).read_text()):
        assert any(path.endswith(f"/{name}") for path in files), name
