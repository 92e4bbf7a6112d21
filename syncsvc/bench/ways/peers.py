"""Libraries that move images or memory between processes, each used as its own documentation shows.

They are in the ``bench`` extra. Their packages are imported in the function that needs them: the way is left out where
they are not installed.
"""

import ctypes
import socket
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from syncsvc.bench.ways.way import IMAGES, Pixels, ReceivingEnd, SendingEnd, Way, image, stamp_of
from syncsvc.errors import LinkClosed
from syncsvc.layout import Layout

_NETGEAR = {"flag": 0, "copy": False, "track": False, "jpeg_compression": False}
"""Pictures as they are: its default is JPEG where the encoder is installed, which is another trade."""
_SAVANT_TOPIC = "camera"


def _free_port() -> int:
    """Of loopback, free a moment ago: these libraries take a number and do not tell one."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _open_imagezmq(layout: Layout, _: Any) -> SendingEnd:
    address = f"tcp://127.0.0.1:{_free_port()}"
    sender = import_module("imagezmq").ImageSender(connect_to=address)
    return SendingEnd(lambda frame: sender.send_image("camera", image(frame, layout)), address, sender.close)


def _imagezmq_receiver(address: str, _: Layout) -> ReceivingEnd:
    hub = import_module("imagezmq").ImageHub(open_port=address)

    def receive() -> int:
        _, picture = hub.recv_image()
        stamp = stamp_of(picture)
        hub.send_reply(b"OK")
        return stamp

    return ReceivingEnd(receive, hub.close)


def _open_netgear(layout: Layout, _: Any) -> SendingEnd:
    port = str(_free_port())
    server: Any = None

    def send(frame: Pixels) -> None:
        nonlocal server
        if server is None:  # at the first frame: it gives up when the other end is not up
            server = _netgear(port, is_receiver=False)
        server.send(image(frame, layout))

    def close() -> None:
        if server is not None:
            server.close()

    return SendingEnd(send, port, close)


def _netgear_receiver(port: str, _: Layout) -> ReceivingEnd:
    client = _netgear(port, is_receiver=True)

    def receive() -> int:
        picture = client.recv()
        if picture is None:
            raise LinkClosed("NetGear gave up")
        return stamp_of(picture)

    return ReceivingEnd(receive)  # to close it while it listens is an error of its thread; the process ends anyway


def _netgear(port: str, *, is_receiver: bool) -> Any:
    gears: Any = import_module("vidgear.gears")
    return gears.NetGear(
        address="127.0.0.1", port=port, protocol="tcp", pattern=0, receive_mode=is_receiver, **_NETGEAR
    )


def _iceoryx_services(folder: str) -> tuple[Any, Any, Any]:
    """The service for frames and the event that wakes the reader; whatever they leave on disk lies in the folder."""
    iox2 = import_module("iceoryx2")
    iox2.set_log_level(iox2.LogLevel.Error)
    config = iox2.config.default()
    config.global_cfg.root_path = iox2.Path.new(folder)
    config.global_cfg.prefix = iox2.FileName.new(Path(folder).name)
    node = iox2.NodeBuilder.new().config(config).create(iox2.ServiceType.Ipc)
    frames = node.service_builder(iox2.ServiceName.new("frames")).publish_subscribe(iox2.Slice[ctypes.c_uint8])
    event = node.service_builder(iox2.ServiceName.new("frames")).event().open_or_create()
    return node, frames.enable_safe_overflow(False).open_or_create(), event


def _open_iceoryx(layout: Layout, _: Any) -> SendingEnd:
    iox2 = import_module("iceoryx2")
    folder = tempfile.TemporaryDirectory(prefix="syncsvc-")
    node, service, event = _iceoryx_services(folder.name)
    publisher: Any = (
        service.publisher_builder()
        .initial_max_slice_len(layout.size_bytes)
        .backpressure_strategy(iox2.BackpressureStrategy.RetryUntilDelivered)
        .create()
    )
    notifier: Any = event.notifier_builder().create()

    def send(frame: Pixels) -> None:
        sample = publisher.loan_slice_uninit(layout.size_bytes)
        np.copyto(np.frombuffer(sample.payload().as_memory_view(), np.uint8), frame)
        sample.assume_init().send()
        notifier.notify()

    def close() -> None:
        nonlocal publisher, notifier, service, event, node
        publisher = notifier = service = event = node = None
        for left in Path("/dev/shm").glob(f"{Path(folder.name).name}*"):  # its nodes share one that it never removes
            left.unlink(missing_ok=True)
        folder.cleanup()

    return SendingEnd(send, folder.name, close)


def _iceoryx_receiver(folder: str, _: Layout) -> ReceivingEnd:
    iox2 = import_module("iceoryx2")
    node, service, event = _iceoryx_services(folder)
    subscriber: Any = service.subscriber_builder().create()
    listener: Any = event.listener_builder().create()
    cycle = iox2.Duration.from_secs(1)

    def receive() -> int:
        while (sample := subscriber.receive()) is None:
            listener.timed_wait(cycle)
        return stamp_of(sample.payload().as_memory_view())

    def close() -> None:
        nonlocal subscriber, listener, service, event, node
        subscriber = listener = service = event = node = None

    return ReceivingEnd(receive, close)


def _open_savant(_: Layout, __: Any) -> SendingEnd:
    address = f"tcp://127.0.0.1:{_free_port()}"
    utils = import_module("savant_rs.utils")
    message: Any = import_module("savant_rs.utils.serialization").Message
    zmq: Any = import_module("savant_rs.zmq")
    writer = zmq.BlockingWriter(zmq.WriterConfigBuilder(f"dealer+bind:{address}").build())
    writer.start()
    about = utils.gen_empty_frame()

    def send(frame: Pixels) -> None:
        writer.send_message(_SAVANT_TOPIC, message.video_frame(about), frame.tobytes())

    return SendingEnd(send, address, writer.shutdown)


def _savant_receiver(address: str, _: Layout) -> ReceivingEnd:
    import_module("savant_rs.utils.serialization")  # before its sockets, as in its examples
    zmq: Any = import_module("savant_rs.zmq")
    reader = zmq.BlockingReader(zmq.ReaderConfigBuilder(f"router+connect:{address}").build())
    reader.start()

    def receive() -> int:
        while not isinstance(found := reader.receive(), zmq.ReaderResultMessage):
            pass
        return stamp_of(found.data(0))

    return ReceivingEnd(receive, reader.shutdown)


WAYS: Final[dict[str, Way]] = {
    "iceoryx2": Way(_open_iceoryx, _iceoryx_receiver, needs=("iceoryx2",)),
    "savant-rs": Way(_open_savant, _savant_receiver, needs=("savant_rs",)),
    "imagezmq": Way(_open_imagezmq, _imagezmq_receiver, IMAGES, ("imagezmq",)),
    "NetGear": Way(_open_netgear, _netgear_receiver, IMAGES, ("vidgear", "cv2")),
}
