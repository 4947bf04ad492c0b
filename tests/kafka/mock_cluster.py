"""librdkafka's mock cluster with its error API, which no Python client hands out.

`streamdet.kafka.mock` is the same cluster by public means, for the demo; this one can be told to
fail. It speaks the protocol of real brokers, and any client may connect to it.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from importlib.util import find_spec
from pathlib import Path


class ApiKey(IntEnum):
    """Requests of the Kafka protocol, by number."""

    PRODUCE = 0
    FETCH = 1
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class MockCluster:
    """Mock brokers in this process, numbered from 1; a context manager."""

    def __init__(self, brokers: int = 1) -> None:
        self._lib = _librdkafka()
        conf = self._lib.rd_kafka_conf_new()
        reason = ctypes.create_string_buffer(512)
        self._handle = self._lib.rd_kafka_new(0, conf, reason, len(reason))
        assert self._handle, reason.value
        self._cluster = self._lib.rd_kafka_mock_cluster_new(self._handle, brokers)
        self._lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.bootstrap = self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str, partitions: int = 1) -> None:
        assert (
            self._lib.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1) == 0
        )

    def fail(self, request: ApiKey, *codes: int) -> None:
        """Answer the next requests of a kind with these error codes, one each."""
        errors = (ctypes.c_int * len(codes))(*codes)
        self._lib.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(codes)), errors
        )

    def coordinate(self, kind: str, name: str, broker: int) -> None:
        """Make a broker the coordinator of a group, or of a transactional id: a `transaction`."""
        assert (
            self._lib.rd_kafka_mock_coordinator_set(
                self._cluster, kind.encode(), name.encode(), broker
            )
            == 0
        )

    def stop_answering(self, broker: int = 1) -> None:
        self._lib.rd_kafka_mock_broker_set_down(self._cluster, broker)

    def answer_again(self, broker: int = 1) -> None:
        self._lib.rd_kafka_mock_broker_set_up(self._cluster, broker)

    def __enter__(self) -> MockCluster:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._lib.rd_kafka_mock_cluster_destroy(self._cluster)
        self._lib.rd_kafka_destroy(self._handle)


def _librdkafka() -> ctypes.CDLL:
    """The library inside the confluent-kafka wheel, the very one that the clients run on."""
    spec = find_spec("confluent_kafka")
    assert spec is not None
    folder = Path(spec.origin).parent
    (path,) = [*folder.parent.glob("confluent_kafka.libs/librdkafka*"),
               *folder.glob(".dylibs/librdkafka*")]  # fmt: skip
    lib = ctypes.CDLL(str(path))
    pointers = ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new")
    for name in pointers:
        getattr(lib, name).restype = ctypes.c_void_p
    lib.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    lib.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
    lib.rd_kafka_new.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    lib.rd_kafka_mock_cluster_new.argtypes = [ctypes.c_void_p, ctypes.c_int]
    lib.rd_kafka_mock_topic_create.argtypes = [ctypes.c_void_p, ctypes.c_char_p] + [
        ctypes.c_int
    ] * 2
    lib.rd_kafka_mock_push_request_errors_array.argtypes = [
        ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)
    ]  # fmt: skip
    lib.rd_kafka_mock_coordinator_set.argtypes = [ctypes.c_void_p] + [ctypes.c_char_p] * 2 + [
        ctypes.c_int32
    ]  # fmt: skip
    for name in ("broker_set_down", "broker_set_up", "group_initial_rebalance_delay_ms"):
        getattr(lib, f"rd_kafka_mock_{name}").argtypes = [ctypes.c_void_p, ctypes.c_int32]
    lib.rd_kafka_mock_cluster_destroy.argtypes = [ctypes.c_void_p]
    lib.rd_kafka_destroy.argtypes = [ctypes.c_void_p]
    return lib
