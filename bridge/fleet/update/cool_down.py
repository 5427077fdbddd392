"""How long a release must have been out before it is taken: most malicious ones are found within days."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bridge.settings import UsageError

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
LONGEST = timedelta(days=3660)


@dataclass(frozen=True)
class CoolDown:
    """`7d`. Nothing younger is looked at, of what a package needs neither."""

    text: str
    now: datetime

    @classmethod
    def of(cls, text: str, now: datetime) -> "CoolDown":
        """Raises UsageError."""
        found = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
        if not found or int(found[1]) * UNITS[found[2]] > LONGEST:
            raise UsageError(f"--cool-down {text!r}: write 7d, 12h or 0d")
        return cls(text.strip(), now.astimezone(UTC))

    @property
    def length(self) -> timedelta:
        return int(self.text[:-1]) * UNITS[self.text[-1]]

    @property
    def as_of(self) -> datetime | None:
        """Nothing that came later counts; None: everything does."""
        return self.now - self.length if self.length else None

    @property
    def told(self) -> str:
        return f" that is older than {self.text}" if self.length else ""

    def allows(self, since: datetime | None) -> bool:
        """A time without a zone is taken for UTC, which is what indexes write."""
        if self.as_of is None:
            return True
        return since is not None and (since if since.tzinfo else since.replace(tzinfo=UTC)) <= self.as_of
