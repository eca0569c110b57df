#!/usr/bin/env python
"""Mutation test: break one random line of the product at a time, and see which test notices.

The suite runs once under coverage, which notes for every line the tests that run it. Each mutant
then meets those tests only (its own folder's first) in a copy of the tree; with ``--whole`` what
they let live meets the whole suite. Nothing in the tree itself is touched.

    python tools/dev/mutate.py --lines 40 --seed 0
    python tools/dev/mutate.py --of negas/scores negas/metrics --lines 100

A mutant that lives is a test that is missing, or a line that changes nothing (equivalent): read it.
The record can be continued: mutants that it holds are not run again.
"""

from __future__ import annotations

import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from coverage import CoverageData

from negas.options import Options, option

ROOT = Path(__file__).resolve().parents[2]
_COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


@dataclass(frozen=True)
class Mutate(Options):
    """Which lines to break, and which tests to try on them."""

    of: tuple[str, ...] = option(("negas", "tools"), help="folders or files of product code")
    lines: int = option(40, help="how many random lines", ge=1)
    seed: int = option(0, help="of the draw", ge=0)
    out: Path = option(Path("mutants.jsonl"), help="record, one mutant a line", output=True)
    coverage: Path = option(Path(".coverage"), help="made where it is missing; fast tests only")
    processes: int = option(2, help="mutants at a time", ge=1)
    timeout: float = option(900, help="seconds after which a mutant counts as killed", gt=0)
    whole: bool = option(False, help="try what lives on the whole suite, slow tests too")


@dataclass(frozen=True)
class Mutant:
    """One change: ``file`` from the root, ``line`` from 1, source text ``old`` at ``span``."""

    file: str
    line: int
    old: str
    new: str
    span: tuple[int, int]

    def applied(self, text: bytes) -> bytes:
        """The file's bytes with the change."""
        return text[: self.span[0]] + self.new.encode() + text[self.span[1] :]


def variants(node: ast.AST) -> Iterator[str]:
    """Source texts that say something else than a node does."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARE:
            other = ast.Compare(node.left, [_COMPARE[type(op)]()], node.comparators)
            yield f"({ast.unparse(other)})"
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
            yield f"({ast.unparse(ast.BinOp(node.left, _ARITHMETIC[type(op)](), node.right))})"
        case ast.BoolOp(op=op):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield f"({ast.unparse(ast.BoolOp(other, node.values))})"
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield f"({ast.unparse(node.operand)})"
        case ast.Constant(value=bool() as value):
            yield str(not value)
        case ast.Constant(value=int() | float() as value):
            yield repr(value + 1)
        case ast.Break():
            yield "continue"
        case ast.Continue():
            yield "break"
        case ast.Raise() | ast.Expr(value=ast.Call()):
            yield "pass"


def mutants_of(path: Path) -> list[Mutant]:
    """Every mutant of a file."""
    text = path.read_bytes()
    starts = [0]
    for row in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(row))
    tree = ast.parse(text)
    # Positions inside f-strings are wrong before Python 3.12; annotations are never run.
    left_out: set[int] = set()
    for node in ast.walk(tree):
        skip = [node] if isinstance(node, ast.JoinedStr) else []
        skip += [getattr(node, name, None) for name in ("annotation", "returns")]
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skip.append(node)
        for each in filter(None, skip):
            left_out |= {id(inner) for inner in ast.walk(each)}
    found = []
    for node in ast.walk(tree):
        if id(node) in left_out or not hasattr(node, "lineno"):
            continue
        changes = [(node, new) for new in variants(node)]
        if isinstance(node, ast.If | ast.IfExp | ast.While) and id(node.test) not in left_out:
            changes.append((node.test, f"(not ({ast.unparse(node.test)}))"))
        for place, new in changes:
            span = (
                starts[place.lineno - 1] + place.col_offset,
                starts[place.end_lineno - 1] + place.end_col_offset,
            )
            file, old = path.relative_to(ROOT).as_posix(), text[slice(*span)].decode()
            mutant = Mutant(file, place.lineno, old, new, span)
            if _parses(mutant.applied(text)):
                found.append(mutant)
    return found


def _parses(text: bytes) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def draw(options: Mutate) -> list[Mutant]:
    """One mutant of each of ``options.lines`` random lines, every line equally likely."""
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for place in options.of:
        path = ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            for mutant in mutants_of(file):
                by_line.setdefault((mutant.file, mutant.line), []).append(mutant)
    rng = random.Random(options.seed)
    lines = rng.sample(sorted(by_line), min(options.lines, len(by_line)))
    return [rng.choice(by_line[line]) for line in lines]


def run_coverage(file: Path) -> None:
    """Run the fast tests once, and note which test runs which line."""
    env = os.environ | {"COVERAGE_FILE": str(file.resolve()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-n2", "-m", "not slow", "--cov=negas"]
    command += ["--cov=tools", "--cov-context=test", "--cov-report=", "-p", "no:cacheprovider"]
    subprocess.run(command, cwd=ROOT, env=env, check=True)


def tests_of(mutant: Mutant, data: CoverageData) -> list[str]:
    """Tests that run a mutant's line, those of its own folder first; of a fixture its module's."""
    by_line = data.contexts_by_lineno(str(ROOT / mutant.file))
    contexts = [name for name in by_line.get(mutant.line, []) if name]
    tree = ast.parse((ROOT / mutant.file).read_bytes())
    if not contexts:  # run at import: every test of the function it belongs to, else of the file
        within = [
            range(node.lineno, node.end_lineno + 1)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and node.lineno <= mutant.line <= node.end_lineno
        ]
        lines = within[-1] if within else by_line
        contexts = [name for line in lines for name in by_line.get(line, []) if name]
    tests = set()
    for context in contexts:
        test, _, phase = context.rpartition("|")
        tests.add(test if phase == "run" else test.split("::")[0])
    modules = {test for test in tests if "::" not in test}
    tests = {test for test in tests if test.split("::")[0] not in modules} | modules
    own = "tests/" + "/".join(Path(mutant.file).parts[1:-1])
    return sorted(tests, key=lambda test: (not test.startswith(own), test))


def pytest(tree: Path, arguments: list[str], timeout: float) -> str | None:
    """What kills the mutant in a tree: a test's name, ``timeout`` or ``crash``; else nothing."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write("\n".join(arguments))
        listed.flush()
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["--no-header", "--tb=no", f"@{listed.name}"]
        env = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            command,
            cwd=tree,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                return "timeout"
    if process.returncode in (0, 5):
        return None
    failed = [row for row in said.splitlines() if row.startswith(("FAILED ", "ERROR "))]
    return failed[0].split(" - ")[0] if failed else "crash: " + said.strip()[-200:]


def copied(folder: Path) -> Path:
    """A copy of the tree's files, without what git ignores."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def try_one(mutant: Mutant, tree: Path, tests: list[str], options: Mutate) -> dict[str, object]:
    """The record of a mutant: what it changes, how many tests run its line, what killed it."""
    text = (ROOT / mutant.file).read_bytes()
    (tree / mutant.file).write_bytes(mutant.applied(text))
    try:
        killed = pytest(tree, tests, options.timeout) if tests else None
        if killed is None and options.whole:
            killed = pytest(tree, ["tests"], 4 * options.timeout)
    finally:
        (tree / mutant.file).write_bytes(text)
    if killed and "::" in killed:
        test = killed.split(" ", 1)[1]
        if pytest(tree, [test], options.timeout):
            raise RuntimeError(f"{test} fails without any mutant; mend it first")
    change = dict(file=mutant.file, line=mutant.line, old=mutant.old, new=mutant.new)
    return change | dict(tests=len(tests), killed_by=killed)


def main() -> int:
    """Draw, run, and print what lives."""
    options = Mutate.parse(description=__doc__)
    mutants = draw(options)
    if not options.coverage.exists():
        run_coverage(options.coverage)
    data = CoverageData(str(options.coverage))
    data.read()
    rows = []
    if options.out.exists():
        rows = [json.loads(row) for row in options.out.read_text().splitlines()]
    done = {(row["file"], row["line"], row["new"]) for row in rows}
    left = [each for each in mutants if (each.file, each.line, each.new) not in done]
    chosen = [tests_of(each, data) for each in left]
    trees: Queue[Path] = Queue()
    with tempfile.TemporaryDirectory() as folder, options.out.open("a") as record:
        for k in range(options.processes):
            trees.put(copied(Path(folder) / str(k)))

        def one(mutant: Mutant, tests: list[str]) -> dict[str, object]:
            tree = trees.get()
            try:
                return try_one(mutant, tree, tests, options)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(options.processes) as pool:
            for row in pool.map(one, left, chosen):
                record.write(json.dumps(row) + "\n")
                record.flush()
                rows.append(row)
                print(f"{row['file']}:{row['line']}  {row['killed_by'] or 'LIVES'}", flush=True)
    lives = [row for row in rows if row["killed_by"] is None]
    print(f"\n{len(rows) - len(lives)} of {len(rows)} mutants killed; {len(lives)} live:")
    for row in lives:
        print(f"{row['file']}:{row['line']}  {row['old']}  ->  {row['new']}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
