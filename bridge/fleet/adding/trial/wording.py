"""Which words of a publisher say that something is needed, and which that it is not. Pure."""

import re

OPTIONAL = re.compile(
    r"可选|選填|选填|任意|オプション|선택|\b(?:opciona(?:l|is|les)|optionnel\w*|facoltativ\w+)\b|\boptional(?:ly)?\b|\bnot required\b|\bcan be omitted\b|\bif omitted\b|\bdefaults?(?: to| is|:)? (?:empty|none|unset|not set|null)\b",
    re.IGNORECASE,
)
DEFAULT = re.compile(
    r"默认|預設|デフォルト|기본|\bdefaults? (?:to|is|value)\b|\bdefaults?[`*]*\s?[:=(`]|\(default\b|\bdefault\)|\bby default\b|\bif (?:not|un)set\b|\boverrides?\b",
    re.IGNORECASE,
)
REQUIRED = re.compile(
    r"必填|必须|必需|必須|필수|\b(?:required|mandatory|must be set|necessary|obrigatóri[oa]s?|obligatori[oa]s?|requerid[oa]s?|erforderlich|obligatoire)\b",
    re.IGNORECASE,
)
# Needed by some, or by what a fleet does not use.
CONDITION = re.compile(
    r"\b(?:required|mandatory|necessary)\b[ `*,(]{1,4}or (?:use|set|provide|both)\b|\b(?:required|mandatory|necessary)\b[^.|\n]{0,12}\b(?:if|when|for|only|unless|with|in|by|to|on)\b|\bone of\b|\beither\b|\balternative\b|\binstead of\b|\bor\b[ `*]*[A-Z]+_[A-Z_]+",
    re.IGNORECASE,
)
# What some do without: "required when using the cloud", "(if using a proxy)", "only for write operations".
ONLY_IF = re.compile(
    r"(?:\b(?:required|mandatory|necessary|needed)\b[^.|\n]{0,12}\b|\((?:only )?)(?:if|when)\b(?![^.|)\n]{0,40}\b(?:not|un\w+)\b)"
    r"|\b(?:only (?:required|mandatory|necessary|needed)|(?:required|mandatory|necessary|needed) only)\b|\bonly for (?!all\b)",
    re.IGNORECASE,
)


def says(text: str) -> tuple[bool | None, bool | None]:
    """What a text says, and what it only suggests. True: "required"; False: "optional"."""
    if OPTIONAL.search(text) or ONLY_IF.search(text):
        return False, None
    if CONDITION.search(text) or DEFAULT.search(text):
        return None, False
    return (True if REQUIRED.search(text) else None), None
