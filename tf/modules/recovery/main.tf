# A second region that can take over: an environment with a cluster and a registry of its own, fed from the first.
#
# Orders are mirrored by a cluster link, byte for byte and with their offsets. Pick lists are not: they are written in transactions,
# and one that was open when the first region went away would stay open on its mirror and hold up every reader for good, because
# no coordinator there knows it. They are made again from the orders, under the same ids (docs/recovery.md).

locals {
  mirrored = toset([for name, topic in var.topics : name if !topic.transactional])
  own      = { for name, topic in var.topics : name => topic if topic.transactional }

  # No link before there are keys for it, and no keys before there is a cluster.
  linked = nonsensitive(var.keys != null)

  # At both ends, so that positions go the way that records go.
  link_config = {
    "consumer.offset.sync.enable" = "true"
    "consumer.offset.sync.ms"     = "5000"
    "consumer.offset.group.filters" = jsonencode({
      groupFilters = [for group in var.groups : { name = group, patternType = "LITERAL", filterType = "INCLUDE" }]
    })
    # Role bindings are made below, and ACLs there are none.
    "acl.sync.enable" = "false"
  }

  milliseconds_a_day = 24 * 60 * 60 * 1000
  subjects           = [for topic in values(var.topics) : topic.subject if topic.subject != null]
}

module "cluster" {
  source = "../cluster"

  name       = var.name
  governance = "ADVANCED"
  cluster    = var.cluster
  protected  = true
}

module "access" {
  source = "../access"

  access   = var.access
  roles    = var.roles
  topics   = keys(var.topics)
  subjects = local.subjects
  pool_ids = var.pool_ids
  cluster  = module.cluster.cluster
  registry = module.cluster.registry
}

resource "confluent_service_account" "link" {
  display_name = "${var.name}-link"
  description  = "Mirrors between ${var.primary.cluster.id} and its recovery cluster"
}

resource "confluent_role_binding" "link" {
  for_each = { primary = var.primary.cluster.rbac_crn, recovery = module.cluster.cluster.rbac_crn }

  principal   = "User:${confluent_service_account.link.id}"
  role_name   = "CloudClusterAdmin"
  crn_pattern = each.value
}

# Both ends know of the link, so that mirroring can be turned round on the way back.
resource "confluent_cluster_link" "to_recovery" {
  count = local.linked ? 1 : 0

  link_name = var.link_name
  link_mode = "BIDIRECTIONAL"
  config    = local.link_config

  local_kafka_cluster {
    id            = module.cluster.cluster.id
    rest_endpoint = module.cluster.cluster.rest_endpoint
    credentials {
      key    = var.keys.recovery.key
      secret = var.keys.recovery.secret
    }
  }
  remote_kafka_cluster {
    id                 = var.primary.cluster.id
    bootstrap_endpoint = var.primary.cluster.bootstrap_endpoint
    credentials {
      key    = var.keys.primary.key
      secret = var.keys.primary.secret
    }
  }

  lifecycle {
    prevent_destroy = true

    precondition {
      condition     = var.primary.cluster.kind == "dedicated"
      error_message = "The link runs both ways, so both clusters are at its receiving end, which only Dedicated (or Enterprise) clusters can be: cluster ${var.primary.cluster.id} is of kind ${var.primary.cluster.kind}."
    }
  }
}

resource "confluent_cluster_link" "to_primary" {
  count = local.linked ? 1 : 0

  link_name = var.link_name
  link_mode = "BIDIRECTIONAL"
  config    = local.link_config

  local_kafka_cluster {
    id            = var.primary.cluster.id
    rest_endpoint = var.primary.cluster.rest_endpoint
    credentials {
      key    = var.keys.primary.key
      secret = var.keys.primary.secret
    }
  }
  remote_kafka_cluster {
    id                 = module.cluster.cluster.id
    bootstrap_endpoint = module.cluster.cluster.bootstrap_endpoint
    credentials {
      key    = var.keys.recovery.key
      secret = var.keys.recovery.secret
    }
  }

  depends_on = [confluent_cluster_link.to_recovery]

  lifecycle {
    prevent_destroy = true
  }
}

resource "confluent_kafka_mirror_topic" "this" {
  for_each = local.linked ? local.mirrored : []

  status = var.mirror_status

  source_kafka_topic {
    topic_name = each.key
  }
  cluster_link {
    link_name = one(confluent_cluster_link.to_recovery).link_name
  }
  kafka_cluster {
    id            = module.cluster.cluster.id
    rest_endpoint = module.cluster.cluster.rest_endpoint
    credentials {
      key    = var.keys.recovery.key
      secret = var.keys.recovery.secret
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "confluent_kafka_topic" "own" {
  for_each = local.own

  topic_name       = each.key
  partitions_count = each.value.partitions
  config = {
    "cleanup.policy" = "delete"
    "retention.ms"   = tostring(each.value.retention_days * local.milliseconds_a_day)
  }
  rest_endpoint = module.cluster.cluster.rest_endpoint

  kafka_cluster {
    id = module.cluster.cluster.id
  }

  lifecycle {
    prevent_destroy = true
  }
}

# Records name their schema by an id of the first registry, so schemas have to have the same ids here: they are copied with them,
# which a registry takes in mode IMPORT only.
resource "confluent_schema_registry_cluster_mode" "this" {
  mode          = var.registry_mode
  force         = true
  rest_endpoint = module.cluster.registry.rest_endpoint

  schema_registry_cluster {
    id = module.cluster.registry.id
  }
}

resource "confluent_schema_exporter" "this" {
  count = local.linked ? 1 : 0

  name          = var.link_name
  context_type  = "NONE"
  subjects      = sort(local.subjects)
  rest_endpoint = var.primary.registry.rest_endpoint

  schema_registry_cluster {
    id = var.primary.registry.id
  }
  credentials {
    key    = var.keys.primary_registry.key
    secret = var.keys.primary_registry.secret
  }
  destination_schema_registry_cluster {
    id            = module.cluster.registry.id
    rest_endpoint = module.cluster.registry.rest_endpoint
    credentials {
      key    = var.keys.recovery_registry.key
      secret = var.keys.recovery_registry.secret
    }
  }

  depends_on = [confluent_schema_registry_cluster_mode.this]
}

module "client" {
  source = "../client"

  name       = var.name
  principals = { for pool in var.access.pools : pool.pool => pool.principal }
  pool_ids   = var.pool_ids
  token      = var.token
  cluster    = module.cluster.cluster
  registry   = module.cluster.registry
}
