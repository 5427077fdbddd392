"""Rows as a table, for people."""

from collections.abc import Iterator


def columns(rows: list[list[str]]) -> Iterator[str]:
    """The rows, each column as wide as its widest."""
    wide = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=False)).rstrip()
