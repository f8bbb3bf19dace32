"""librdkafka, through Python's confluent-kafka, against the sandbox: what a stranger's client sees.

    session.py open BOOTSTRAP            admin, every compression, idempotence, groups, on the listener without authentication
    session.py oauth FOLDER              OAUTHBEARER over TLS with the client.properties files that the sandbox wrote into FOLDER
"""

import sys
import time
import uuid

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

RECORDS = 2_000
PATIENCE_SECONDS = 30


def produce(config, topic, records, keyed=True):
    """Sends `records` and returns how many were acknowledged; raises on the first that failed."""
    acknowledged = 0

    def delivered(error, _message):
        nonlocal acknowledged
        if error:
            raise KafkaException(error)
        acknowledged += 1

    producer = Producer({**config, "enable.idempotence": True, "linger.ms": 5})
    for index in range(records):
        producer.produce(topic, f"value-{index}".encode(), key=f"key-{index % 97}".encode() if keyed else None,
                         headers={"n": str(index)}, on_delivery=delivered)
        producer.poll(0)
    left = producer.flush(PATIENCE_SECONDS)
    assert left == 0, f"{left} of {records} records were not acknowledged"
    return acknowledged


def consume(config, topics, expected, consumers=1):
    """Reads `expected` records with a group of `consumers`, all of which have partitions in the end, and commits; returns the
    values in order of arrival."""
    members = [Consumer({"auto.offset.reset": "earliest", "enable.auto.commit": False, **config}) for _ in range(consumers)]
    for member in members:
        # What moves to another member is committed first, or the other one would read it again.
        member.subscribe(topics, on_revoke=lambda member, partitions: commit(member))
    values, deadline = [], time.monotonic() + PATIENCE_SECONDS
    while len(values) < expected or not all(member.assignment() for member in members):
        assert time.monotonic() < deadline, f"{len(values)} of {expected} records arrived in {PATIENCE_SECONDS} s"
        for member in members:
            for message in member.consume(num_messages=500, timeout=0.05):
                if message.error():
                    raise KafkaException(message.error())
                values.append(message.value())
    for member in members:
        commit(member)
        member.close()
    return values


def commit(member):
    """Commits where the member stands; nothing read is nothing to commit."""
    try:
        member.commit(asynchronous=False)
    except KafkaException as problem:
        if problem.args[0].code() != KafkaError._NO_OFFSET:
            raise


def check(text):
    print(f"librdkafka: {text}", flush=True)


def open_session(bootstrap):
    config = {"bootstrap.servers": bootstrap}
    admin = AdminClient(config)
    topic = f"librdkafka-{uuid.uuid4().hex[:8]}"
    for future in admin.create_topics([NewTopic(topic, num_partitions=5, replication_factor=1)]).values():
        future.result(PATIENCE_SECONDS)
    described = admin.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic]
    assert len(described.partitions) == 5, described.partitions
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    settings = admin.describe_configs([resource])[resource].result(PATIENCE_SECONDS)
    assert "retention.ms" in settings, sorted(settings)
    check("created a topic of 5 partitions and read its configuration")

    total = 0
    for compression in ("none", "gzip", "snappy", "lz4", "zstd"):
        total += produce({**config, "compression.type": compression}, topic, RECORDS, keyed=compression != "none")
    check(f"{total} records acknowledged, idempotent, with five compressions")

    group = f"group-{uuid.uuid4().hex[:8]}"
    strategy = {"partition.assignment.strategy": "cooperative-sticky", "group.id": group}
    values = consume({**config, **strategy}, [topic], total, consumers=2)
    assert len(set(values)) == RECORDS and len(values) == total
    check(f"{len(values)} records read by two members of a group")

    observer = Consumer({**config, "group.id": group})
    partitions = [TopicPartition(topic, partition) for partition in range(5)]
    committed = sum(partition.offset for partition in observer.committed(partitions, timeout=PATIENCE_SECONDS))
    ends = sum(observer.get_watermark_offsets(partition, timeout=PATIENCE_SECONDS)[1] for partition in partitions)
    observer.close()
    assert committed == ends == total, (committed, ends, total)
    check("the group's committed offsets stand at the end")
    for future in admin.delete_consumer_groups([group]).values():
        future.result(PATIENCE_SECONDS)
    for future in admin.delete_topics([topic]).values():
        future.result(PATIENCE_SECONDS)
    check("deleted the group and the topic")
    consumer_group_session(bootstrap)


def consumer_group_session(bootstrap):
    """Groups of the consumer protocol (KIP-848): by name and by pattern, with a member that comes later and one that goes."""
    config = {"bootstrap.servers": bootstrap}
    admin = AdminClient(config)
    topic, group = f"librdkafka-{uuid.uuid4().hex[:8]}", f"group-{uuid.uuid4().hex[:8]}"
    for future in admin.create_topics([NewTopic(topic, num_partitions=5, replication_factor=1)]).values():
        future.result(PATIENCE_SECONDS)
    member_config = {**config, "group.id": group, "group.protocol": "consumer", "auto.offset.reset": "earliest",
                     "enable.auto.commit": False}
    members, values = [], []

    def read_until(done, what):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done():
            assert time.monotonic() < deadline, f"{what} in {PATIENCE_SECONDS} s: {[len(m.assignment()) for m in members]}"
            for member in members:
                for message in member.consume(num_messages=500, timeout=0.05):
                    if message.error():
                        raise KafkaException(message.error())
                    values.append(message.value())

    def come(subscription):
        member = Consumer(member_config)
        member.subscribe([subscription], on_revoke=lambda member, partitions: commit(member))
        members.append(member)

    def shares(*wanted):
        return lambda: sorted(len(member.assignment()) for member in members) == sorted(wanted)

    total = produce(config, topic, RECORDS)
    come(topic)
    read_until(shares(5), "one member has all partitions")
    come(f"^{topic[:-1]}.$")
    read_until(shares(2, 3), "two members share the partitions")
    read_until(lambda: len(values) >= total, "all records arrive")
    described = admin.describe_consumer_groups([group])[group].result(PATIENCE_SECONDS)
    assert (described.state.name, len(described.members)) == ("STABLE", 2), described
    commit(members[0])
    members.pop(0).close()
    total += produce(config, topic, RECORDS)
    read_until(shares(5), "the member that is left has all partitions")
    read_until(lambda: len(values) >= total, "the records that came later arrive")
    assert len(values) == total, (len(values), total)
    commit(members[0])
    members.pop().close()
    for future in admin.delete_consumer_groups([group]).values():
        future.result(PATIENCE_SECONDS)
    for future in admin.delete_topics([topic]).values():
        future.result(PATIENCE_SECONDS)
    check(f"{total} records read once by a group of the consumer protocol, while one member came and one went")


def properties(folder, client):
    """The sandbox's file in librdkafka's spelling; what only the registry's client knows is left out."""
    config = {"sasl.oauthbearer.method": "oidc"}
    renamed = {
        "sasl.oauthbearer.client.credentials.client.id": "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.credentials.client.secret": "sasl.oauthbearer.client.secret",
        "sasl.mechanism": "sasl.mechanisms",
    }
    wanted = ("bootstrap.servers", "security.protocol", "ssl.ca.location", "sasl.")
    with open(f"{folder}/{client}.properties", encoding="utf-8") as lines:
        for line in lines:
            key, separator, value = line.strip().partition("=")
            if separator and not key.startswith("#") and key.startswith(wanted):
                config[renamed.get(key, key)] = value
    if config.get("ssl.ca.location"):
        config["https.ca.location"] = config["ssl.ca.location"]
    return config


def oauth_session(folder):
    topic = "grocery.orders.v1"
    producer, reader = properties(folder, "order-producer"), properties(folder, "fulfillment-service")
    count = produce(producer, topic, RECORDS)
    check(f"{count} records acknowledged for order-producer over OAUTHBEARER")
    # What another client wrote before is read as well; ours must be among it.
    values = consume({**reader, "group.id": "fulfillment-service-group"}, [topic], RECORDS)
    check(f"{len(values)} records read for fulfillment-service over OAUTHBEARER")

    refused = Consumer({**producer, "group.id": "fulfillment-service-group", "auto.offset.reset": "earliest"})
    refused.subscribe([topic])
    codes, deadline = set(), time.monotonic() + PATIENCE_SECONDS
    while not codes and time.monotonic() < deadline:
        message = refused.poll(0.5)
        assert message is None or message.error(), "order-producer must not read orders"
        if message is not None:
            codes.add(message.error().code())
    refused.close()
    assert codes & {KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED}, codes
    check("order-producer is refused when it tries to read")


if __name__ == "__main__":
    {"open": open_session, "oauth": oauth_session}[sys.argv[1]](sys.argv[2])
