"""Writes orders-N.jsonl and picklists-N.jsonl: events, their Avro bytes by version N of the schema as fastavro makes them,
and what fastavro reads from those bytes by the other version.

Run in this folder with fastavro 1.12 installed; the tests only read the result.
"""

import io
import json
import pathlib

import fastavro

SCHEMAS = pathlib.Path(__file__).resolve().parents[4] / "schemas"

ORDER = {
    "order_id": "3d5f0c1e-8a52-4a7b-9d7c-0f6f3c2b1a90",
    "customer_id": "customer-0042",
    "items": ["whole milk", "rolls/buns", "cream cheese "],
    "order_total": 2.93,
    "order_time": "2025-09-08 14:30:00",
}
PICKLIST = {
    "picklist_id": "a4c9f3e1-70d8-8b84-a281-f09f0cd3e56f",
    "order_id": ORDER["order_id"],
    "items_to_pick": ORDER["items"],
    "assigned_picker": "Ada",
    "created_time": "2025-09-08 14:30:01",
}
LARGE = [f"item {number:02}" for number in range(1, 33)]
UNICODE = ["Käse 🧀", "日本酒", "žufánek", "e\u0301clair"]


def schema(subject, version):
    return fastavro.parse_schema(json.loads((SCHEMAS / subject / f"{version}.avsc").read_text()))


def write(subject, name, version, events):
    writer, reader = schema(subject, version), schema(subject, 3 - version)
    with open(f"{name}-{version}.jsonl", "w", encoding="utf-8") as out:
        for event in events:
            buffer = io.BytesIO()
            fastavro.schemaless_writer(buffer, writer, event, strict=True)
            avro = buffer.getvalue()
            other = fastavro.schemaless_reader(io.BytesIO(avro), writer, reader)
            line = {"event": event, "avro": avro.hex(), "by_the_other_version": other}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def counted(items, **more):
    return [{"item": item, "quantity": items.count(item)} | more for item in dict.fromkeys(items)]


orders = [
    ORDER,
    ORDER | {"items": ["x"], "order_total": 0.0, "customer_id": "c"},
    ORDER | {"items": LARGE, "order_total": 95.68},
    ORDER | {"items": UNICODE, "customer_id": "Čapek", "order_total": 10000000.0},
    ORDER | {"items": ["long " * 51], "order_total": 0.07},
    # Well-formed Avro that breaks rules: the bytes agree all the same.
    ORDER | {"items": [], "customer_id": "", "order_total": -1.5, "order_time": ""},
]
picklists = [
    PICKLIST,
    PICKLIST | {"items_to_pick": ["x"], "assigned_picker": "B"},
    PICKLIST | {"items_to_pick": LARGE},
    PICKLIST | {"items_to_pick": UNICODE, "assigned_picker": "Jiří"},
    PICKLIST | {"items_to_pick": [], "assigned_picker": ""},
]
write("grocery.orders.v1-value", "orders", 1, orders)
write("grocery.picklist.v1-value", "picklists", 1, picklists)

twice = ["soda", "whole milk", "soda", "soda"]
orders = [
    order | {"store_id": "store-7", "currency": "CZK", "lines": counted(order["items"])}
    for order in orders + [ORDER | {"items": twice}]
]
picklists = [
    list_ | {"lines": counted(list_["items_to_pick"], aisle="dairy and eggs")}
    for list_ in picklists + [PICKLIST | {"items_to_pick": twice}]
]
write(
    "grocery.orders.v1-value",
    "orders",
    2,
    orders + [ORDER | {"store_id": "", "currency": "EUR", "lines": []}, orders[0] | {"lines": [{"item": "", "quantity": -7}]}],
)
write(
    "grocery.picklist.v1-value",
    "picklists",
    2,
    picklists + [PICKLIST | {"lines": []}, PICKLIST | {"lines": counted(UNICODE, aisle="")}],
)
