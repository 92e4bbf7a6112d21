"""What captures may do, who is let in: the key `security`."""

from typing import Literal

from syncsvc.config.strictness import Model


class Security(Model):
    """What captures may do."""

    sandbox: Literal["auto", "required", "off"] = "auto"
    """How captures give up rights: as many as the kernel lets them, all of them or the start is refused, or none."""
