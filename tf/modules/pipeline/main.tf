# What flows through the cluster: topics, their schemas, and what the catalogue says of them.

locals {
  milliseconds_a_day = 24 * 60 * 60 * 1000

  # <subject>/<version>.avsc; a version is a number, so that 10 comes after 9.
  files    = fileset(var.schemas, "*/*")
  strays   = [for file in local.files : file if !can(regex("^[^/]+/[1-9][0-9]*\\.avsc$", file))]
  versions = { for file in setsubtract(local.files, local.strays) : dirname(file) => tonumber(trimsuffix(basename(file), ".avsc"))... }
  newest   = { for subject, versions in local.versions : subject => max(versions...) }
  subjects = toset([for topic in values(var.topics) : topic.subject if topic.subject != null])
  missing  = [for subject in local.subjects : subject if !contains(keys(local.newest), subject)]

  tags = {
    Grocery      = "Part of the grocery order pipeline"
    CustomerData = "Names customers by their ids"
  }
  tagged = merge([for name, topic in var.topics : { for tag in topic.tags : "${name}/${tag}" => { topic = name, tag = tag } }]...)
}

resource "confluent_kafka_topic" "this" {
  for_each = var.topics

  topic_name       = each.key
  partitions_count = each.value.partitions
  config = {
    "cleanup.policy" = "delete"
    "retention.ms"   = tostring(each.value.retention_days * local.milliseconds_a_day)
  }
  rest_endpoint = var.cluster.rest_endpoint

  kafka_cluster {
    id = var.cluster.id
  }

  lifecycle {
    # Fewer partitions, or another name, would delete the topic with all that is on it and make a new one.
    prevent_destroy = true
  }
}

resource "confluent_subject_config" "this" {
  for_each = local.subjects

  subject_name        = each.key
  compatibility_level = "BACKWARD"
  rest_endpoint       = var.registry.rest_endpoint

  schema_registry_cluster {
    id = var.registry.id
  }
}

resource "confluent_schema" "this" {
  for_each = { for subject in local.subjects : subject => local.newest[subject] if contains(keys(local.newest), subject) }

  subject_name = each.key
  format       = "AVRO"
  schema       = file("${var.schemas}/${each.key}/${each.value}.avsc")
  # A new version is registered beside the older ones, which records on the topics still need.
  recreate_on_update = false
  hard_delete        = false
  rest_endpoint      = var.registry.rest_endpoint

  schema_registry_cluster {
    id = var.registry.id
  }

  # The level is to be in force when the first version is compared with the second.
  depends_on = [confluent_subject_config.this]

  lifecycle {
    prevent_destroy = true
  }
}

resource "confluent_tag" "this" {
  for_each = local.tags

  name          = each.key
  description   = each.value
  rest_endpoint = var.registry.rest_endpoint

  schema_registry_cluster {
    id = var.registry.id
  }
}

resource "confluent_tag_binding" "topic" {
  for_each = local.tagged

  tag_name      = confluent_tag.this[each.value.tag].name
  entity_name   = "${var.registry.id}:${var.cluster.id}:${confluent_kafka_topic.this[each.value.topic].topic_name}"
  entity_type   = "kafka_topic"
  rest_endpoint = var.registry.rest_endpoint

  schema_registry_cluster {
    id = var.registry.id
  }
}
