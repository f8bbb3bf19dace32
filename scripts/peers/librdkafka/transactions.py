"""Transactions by librdkafka, through Python's confluent-kafka, against any broker.

    transactions.py check BOOTSTRAP            commits, aborts, fences another producer and commits positions, and reads what came of it
    transactions.py write BOOTSTRAP TOPIC      leaves committed, aborted and open transactions in partition 0, and prints what is committed
"""

import os
import sys
import time
import uuid

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PATIENCE_SECONDS = 30
PARTITIONS = 3


def check(text):
    print(f"librdkafka: {text}", flush=True)


def producer_of(config, transactional_id):
    producer = Producer({**config, "transactional.id": transactional_id})
    producer.init_transactions(PATIENCE_SECONDS)
    return producer


def send(producer, topic, values):
    failed = []
    for index, value in enumerate(values):
        producer.produce(topic, value.encode(), partition=index % PARTITIONS,
                         on_delivery=lambda error, _message: failed.append(error) if error else None)
    producer.flush(PATIENCE_SECONDS)
    assert not failed, failed


def read(config, topic, isolation):
    """Everything up to the end that a reader of this isolation sees, in each partition's order."""
    reader = Consumer({**config, "group.id": uuid.uuid4().hex, "isolation.level": isolation,
                       "auto.offset.reset": "earliest", "enable.partition.eof": True, "enable.auto.commit": False})
    reader.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    values, ended, deadline = [], set(), time.monotonic() + PATIENCE_SECONDS
    while len(ended) < PARTITIONS:
        assert time.monotonic() < deadline, f"no end of {topic} after {PATIENCE_SECONDS} s, {len(values)} records"
        message = reader.poll(0.5)
        if message is None:
            continue
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            ended.add(message.partition())
        else:
            values.append(message.value().decode())
    reader.close()
    return values


def committed_and_aborted(config, topic):
    producer = producer_of(config, f"first-{topic}")
    committed, written = [], []
    for number in range(6):
        values = [f"{number}-{index}" for index in range(30)]
        producer.begin_transaction()
        send(producer, topic, values)
        written += values
        if number % 3 == 1:
            producer.abort_transaction(PATIENCE_SECONDS)
        else:
            producer.commit_transaction(PATIENCE_SECONDS)
            committed += values
    producer.begin_transaction()
    send(producer, topic, ["open"])
    assert sorted(read(config, topic, "read_committed")) == sorted(committed)
    assert sorted(read(config, topic, "read_uncommitted")) == sorted([*written, "open"])
    check(f"read_committed sees the {len(committed)} committed of {len(written) + 1} records, read_uncommitted all")

    # The same transactional id again: the open transaction is aborted, and whoever had it is fenced.
    second = producer_of(config, f"first-{topic}")
    try:
        producer.commit_transaction(PATIENCE_SECONDS)
        raise AssertionError("a fenced producer committed")
    except KafkaException as problem:
        assert problem.args[0].fatal(), problem
        assert problem.args[0].code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH), problem
    second.begin_transaction()
    send(second, topic, ["second"])
    second.commit_transaction(PATIENCE_SECONDS)
    assert sorted(read(config, topic, "read_committed")) == sorted([*committed, "second"])
    check("a second producer with the same id fences the first and goes on")


def positions(config, source, sink):
    group = f"group-{source}"
    producer = producer_of(config, f"positions-{source}")
    outside = Producer(config)
    for index in range(20):
        outside.produce(source, str(index).encode(), partition=0)
    outside.flush(PATIENCE_SECONDS)
    consumer = Consumer({**config, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                         "isolation.level": "read_committed"})
    consumer.subscribe([source])
    values, deadline = [], time.monotonic() + PATIENCE_SECONDS
    while len(values) < 20:
        assert time.monotonic() < deadline, f"{len(values)} of 20 records arrived"
        message = consumer.poll(0.5)
        if message is not None and not message.error():
            values.append(message.value().decode())

    first = TopicPartition(source, 0)
    for outcome in ("abort", "commit"):
        producer.begin_transaction()
        send(producer, sink, [f"{outcome}-{value}" for value in values])
        producer.send_offsets_to_transaction(consumer.position([first]), consumer.consumer_group_metadata())
        if outcome == "abort":
            producer.abort_transaction(PATIENCE_SECONDS)
        else:
            producer.commit_transaction(PATIENCE_SECONDS)
        offset = consumer.committed([first], timeout=PATIENCE_SECONDS)[0].offset
        wanted = 20 if outcome == "commit" else -1001
        assert offset == wanted, f"after {outcome} the group stands at {offset}, not {wanted}"
    assert sorted(read(config, sink, "read_committed")) == sorted(f"commit-{value}" for value in values)
    check("positions count when their transaction is committed, and not when it is aborted")
    metadata = consumer.consumer_group_metadata()
    consumer.close()

    # The member is gone: its generation is worth nothing.
    producer.begin_transaction()
    send(producer, sink, ["late"])
    try:
        producer.send_offsets_to_transaction([TopicPartition(source, 0, 3)], metadata)
        raise AssertionError("a member that had left committed positions")
    except KafkaException as problem:
        assert problem.args[0].txn_requires_abort(), problem
    producer.abort_transaction(PATIENCE_SECONDS)
    check("a member that has left commits no positions")


def write(bootstrap, topic):
    producers = [producer_of({"bootstrap.servers": bootstrap}, f"{topic}-{number}") for number in range(3)]
    committed = []
    for number in range(5):
        for producer in producers:
            producer.begin_transaction()
        # One after the other and then again, so that the transactions lie in each other.
        for index in range(20):
            for which, producer in enumerate(producers):
                producer.produce(topic, f"{number}-{which}-{index}".encode(), partition=0)
                producer.flush(PATIENCE_SECONDS)
        for which, producer in enumerate(producers):
            if (number + which) % 2:
                producer.abort_transaction(PATIENCE_SECONDS)
            else:
                producer.commit_transaction(PATIENCE_SECONDS)
                committed += [f"{number}-{which}-{index}" for index in range(20)]
    producers[0].begin_transaction()
    producers[0].produce(topic, b"open", partition=0)
    producers[0].flush(PATIENCE_SECONDS)
    print("\n".join(committed), flush=True)
    # As if it had died: an orderly end would abort.
    os._exit(0)


def session(bootstrap):
    config = {"bootstrap.servers": bootstrap}
    admin = AdminClient(config)
    names = [f"transactions-{uuid.uuid4().hex[:8]}" for _ in range(3)]
    for future in admin.create_topics([NewTopic(name, num_partitions=PARTITIONS, replication_factor=1) for name in names]).values():
        future.result(PATIENCE_SECONDS)
    committed_and_aborted(config, names[0])
    positions(config, names[1], names[2])
    for future in admin.delete_topics(names).values():
        future.result(PATIENCE_SECONDS)


if __name__ == "__main__":
    {"check": session, "write": write}[sys.argv[1]](*sys.argv[2:])
