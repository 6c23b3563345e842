"""Leaving a consumer group on purpose, for members whose name outlives their process (KIP-345)."""

from aiokafka import AIOKafkaConsumer


def leave_at_once(member: AIOKafkaConsumer | None) -> None:
    """Let a member with a lasting name leave when it is stopped next: it ends on purpose.

    Otherwise its partitions would wait for it as they do after a crash. aiokafka sends no leave
    request for such members, though the broker takes one by member id.
    """
    coordinator = getattr(member, "_coordinator", None)
    if coordinator is not None:
        coordinator._group_instance_id = None  # noqa: SLF001  # there is no other way
