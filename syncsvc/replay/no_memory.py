"""What a replay is to processes on its own host: it says where ``control`` is, and has no memory to share."""

from syncsvc.publish.local import LocalOutlet
from syncsvc.publish.local_subscriber import LocalSubscriber
from syncsvc.transport import leasing

PROBLEM = "a replay has no memory to share, for its pictures lie in no ring: mode 'live' reaches it"


class NoMemoryShared(LocalOutlet):
    """Refuses whoever asks for batches; mode ``auto`` takes ``live`` then."""

    def _do(self, one: LocalSubscriber, message: leasing.FromSubscriber) -> None:
        if isinstance(message, leasing.Hello):
            one.link.send(leasing.Refused(PROBLEM))
            one.is_gone = True
