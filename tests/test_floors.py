"""Imports point down: the architecture of docs/design.md, held by a test."""

import ast
from pathlib import Path

import doublevit

ROOT = Path(doublevit.__file__).parent
FLOORS = (
    {"errors", "version"},
    {"files", "fonts", "geometry", "images", "image_files", "prefetch", "progress", "regions", "strict_json", "jsonl"},
    {"processes"},
    {"download", "statistics", "device"},
    {"data", "augment", "corruptions", "attacks", "models"},
    {"runs"},
    {"corrupted_sets", "training"},
    {"evaluators"},
    {"analysis"},
    {"report"},
    {"recipes"},
    {"jobs"},
    {"studies"},
    {"serve"},
    {"cli", "api"},
    {"__main__"},
)
TOGETHER = {
    ("files", "errors"),
    ("jsonl", "strict_json"),
    ("jsonl", "files"),
    ("image_files", "files"),
    ("geometry", "image_files"),
    ("regions", "images"),
}
"""Parts of the second floor that use one another."""
FLOOR = {part: number for number, parts in enumerate(FLOORS) for part in parts}


def imports(path: Path) -> set[tuple[str, ...]]:
    """The doublevit modules that a file imports anywhere, as tuples of names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "doublevit":
            names = node.module.split(".")[1:]
            found |= {(*names, alias.name) for alias in node.names} if not names else {tuple(names)}
        elif isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")[1:]) for alias in node.names if alias.name.startswith("doublevit.")}
    return {names for names in found if names and names[0] in FLOOR}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_imports_point_down():
    for path in ROOT.rglob("*.py"):
        part = part_of(path)
        if part == "__init__":
            continue
        for names in imports(path):
            below = FLOOR[names[0]] < FLOOR[part]
            assert below or names[0] == part or (part, names[0]) in TOGETHER, f"{path} imports {'.'.join(names)}"


def test_every_module_has_a_floor():
    assert {part_of(path) for path in ROOT.rglob("*.py")} - {"__init__"} == set(FLOOR)


def test_names_and_options_need_no_torch():
    import subprocess
    import sys

    modules = ("cli", "recipes", "runs.predictions", "jobs.predict", "jobs.onnx.file")  # predict on an .onnx
    names = ", ".join(f"doublevit.{name}" for name in modules)
    code = f"import {names}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
