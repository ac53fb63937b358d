"""Reads a topic through the registry with confluent-kafka, and prints a JSON object a record.

Arguments: bootstrap servers, URL of the registry, topic, number of records.
"""

import datetime
import decimal
import faulthandler
import json
import sys
import time

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

LIMIT_SECONDS = 60
# The client itself waits for a registry without a limit.
REGISTRY_SECONDS = 20


def plain(value):
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, (decimal.Decimal, datetime.date, datetime.datetime, datetime.time)):
        return str(value)
    raise TypeError(f"{value!r} is not plain")


def main():
    servers, registry, topic, wanted = sys.argv[1:]
    # Whatever hangs is named with its place.
    faulthandler.dump_traceback_later(LIMIT_SECONDS + 30, exit=True)
    deserializer = AvroDeserializer(SchemaRegistryClient({"url": registry, "timeout": REGISTRY_SECONDS}))
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "python",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    deadline = time.monotonic() + LIMIT_SECONDS
    left = int(wanted)
    while left > 0:
        if time.monotonic() > deadline:
            sys.exit(f"{left} of {wanted} records of {topic} are missing after {LIMIT_SECONDS} s")
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            sys.exit(f"reading {topic}: {message.error()}")
        key = deserializer(message.key(), SerializationContext(topic, MessageField.KEY))
        value = deserializer(message.value(), SerializationContext(topic, MessageField.VALUE))
        print(json.dumps({"key": key, "value": value}, default=plain))
        left -= 1
    consumer.close()


main()
