"""What the documents name is there: names, options, files, links; and the site is built of them alone."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from doublevit.attacks.catalogue import ATTACKS, ENSEMBLES
from doublevit.augment import POLICIES
from doublevit.cli import ALIASES, COMMANDS, main
from doublevit.corruptions.config import COMMON, VALIDATION
from doublevit.models.config import BACKBONES, HEAD_INITS, HEADS
from doublevit.recipes import RECIPES
from doublevit.studies.named import STUDIES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in PAGES}
REPOSITORY = "https://github.com/doublevit/doublevit"
HELP = (
    "run digits-double --help",
    "run --resume runs/first --help",
    "evaluate --help-attacks",
    "merge --help",
    "transfer --help",
    "speed --help",
    "status --help",
    "predict --help",
    "export --help",
    "serve --help",
    "upgrade --help",
    "errors --help",
    "report --help",
    "tables --help",
    "show attention --help",
    "study digits --help",
    *(f"data {command} --help" for command in ("check", "prepare", "verify", "corrupt", "show")),
)
LAUNCHERS = {"--nproc_per_node", "--local_addr", "--rdzv_conf", "--max-restarts", "--cpu", "--signal"}
VIEWERS = {"--logdir", "--backend-store-uri"}  # of TensorBoard and MLflow
pages = pytest.mark.parametrize("page", TEXTS)


@pytest.fixture(scope="module")
def options() -> set[str]:
    """Every option of every command, from its help."""
    known = {"--help", "--help-attacks", "--version", "--resume"}
    for command in HELP:
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            main(command.split())
        known |= set(re.findall(r"--[a-z][\w.-]*", text.getvalue()))
    return known


@pages
def test_options_that_a_page_names_exist(page, options):
    text = re.sub(r"```sh\n.*?```", "", TEXTS[page], flags=re.DOTALL)  # these run, in test_readme.py
    for option in re.findall(r"`[^`\n]*?(--[a-z][\w.-]*)", text):
        assert option in options | LAUNCHERS | VIEWERS, option


@pages
def test_commands_that_a_page_names_exist(page):
    for command in re.findall(r"`doublevit ([a-z]+)", TEXTS[page]):
        assert command in {*COMMANDS, *ALIASES}, command


def test_reference_names_every_name():
    reference = TEXTS["docs/recipes.md"]
    for names in (RECIPES, BACKBONES, HEADS, HEAD_INITS, POLICIES, COMMON, VALIDATION, ATTACKS, ENSEMBLES, STUDIES):
        for name in names:
            assert f"`{name}`" in reference, name
    for name in COMMANDS:
        assert f"`doublevit {name}" in TEXTS["docs/commands.md"], name


def test_every_finding_is_explained():
    found = re.findall(r'Finding\(\s*"([\w-]+)"', (ROOT / "src/doublevit/attacks/checks.py").read_text())
    assert found
    for name in found:
        assert f"`{name}`" in TEXTS["docs/attacks.md"], name


@pages
def test_links_of_a_page_lead_somewhere(page):
    """Also those to the repository's public address, which must be right on a package index too."""
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        address, _, anchor = target.partition("#")
        for prefix in (f"{REPOSITORY}/blob/main/", "https://raw.githubusercontent.com/doublevit/doublevit/main/"):
            if address.startswith(prefix):
                address = "/" + address.removeprefix(prefix)
        if address.startswith("http"):
            assert REPOSITORY not in address, address
            continue
        is_root = address.startswith("/")
        path = ROOT / address[1:] if is_root else (ROOT / page).parent / address if address else ROOT / page
        assert path.exists(), target
        assert page != "README.md" or is_root or not address, f"{target} works on a code host only"
        if anchor:
            assert anchor in anchors(path.read_text()), target


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 150


@pytest.mark.slow
def test_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        tags = re.findall(r"<(?:script|img|iframe|link)\b[^>]*>", page.read_text())
        loading = [tag for tag in tags if not tag.startswith("<link") or re.search(r"stylesheet|preconnect|icon", tag)]
        addresses = [address for tag in loading for address in re.findall(r"(?:src|href)=\"?([^\" >]+)", tag)]
        assert addresses
        assert not [address for address in addresses if re.match(r"(https?:)?//", address)], page.name
