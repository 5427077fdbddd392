"""The releases of LiteLLM that are not run, whoever asks for them, and why: the one place where they are listed."""

import re

KNOWN_BAD = {  # a release, or the first numbers of several: why
    (1, 82, 7): "it was published with malicious code that steals credentials (BerriAI/litellm issue 24518): take another, and "
    "change every key that a machine had which ever ran it",
    (1, 82, 8): "it was published with malicious code that steals credentials at any start of its Python (BerriAI/litellm issue 24518): "
    "take another, and change every key that a machine had which ever ran it",
    (1, 107): "it was withdrawn from its index, and reported as another one with malicious code: take 1.106.2 or a newer one than 1.107",
}


def why_not(version: str) -> str:
    """Why a release is not run, by its number or by an image's tag; empty if it may be."""
    for found in re.finditer(r"(?<![0-9.])v?(\d+)\.(\d+)(?:\.(\d+))?", version):
        numbers = tuple(int(part) for part in found.groups() if part is not None)
        for bad, why in KNOWN_BAD.items():
            if numbers[: len(bad)] == bad:
                return f"LiteLLM {'.'.join(map(str, numbers))} is not run: {why}"
    return ""
