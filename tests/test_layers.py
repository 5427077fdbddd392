"""Which package may import which is checked by lint-imports ([tool.importlinter] in pyproject.toml)."""

import ast
from collections import Counter
from pathlib import Path

import bridge


def test_each_import_inside_a_function_says_why_it_is_there():
    silent = []
    for path in Path(bridge.__file__).parent.rglob("*.py"):
        lines = path.read_text().splitlines()
        for function in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                imports = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
                silent += [f"{path}:{node.lineno}" for node in imports if "  # " not in lines[node.lineno - 1]]

    assert silent == []


def test_test_files_have_names_of_their_own():
    """pytest imports them by name alone: of two with the same name it can run one."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))

    assert [name for name, times in names.items() if times > 1] == []
