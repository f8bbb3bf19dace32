# An environment of its own, with Stream Governance and one Kafka cluster.

resource "confluent_environment" "this" {
  display_name = var.name

  stream_governance {
    package = var.governance
  }

  lifecycle {
    prevent_destroy = true
  }
}

# Two resources, because a kind is a block, and a cluster does not change from one of these kinds to the other anyway.

resource "confluent_kafka_cluster" "standard" {
  count = var.cluster.kind == "standard" ? 1 : 0

  display_name        = var.name
  availability        = var.cluster.availability
  cloud               = var.cluster.cloud
  region              = var.cluster.region
  deletion_protection = var.protected

  standard {}

  environment {
    id = confluent_environment.this.id
  }
}

resource "confluent_kafka_cluster" "dedicated" {
  count = var.cluster.kind == "dedicated" ? 1 : 0

  display_name        = var.name
  availability        = var.cluster.availability
  cloud               = var.cluster.cloud
  region              = var.cluster.region
  deletion_protection = var.protected

  dedicated {
    cku = var.cluster.cku
  }

  environment {
    id = confluent_environment.this.id
  }
}

locals {
  cluster = one(concat(confluent_kafka_cluster.standard, confluent_kafka_cluster.dedicated))
}

data "confluent_schema_registry_cluster" "this" {
  environment {
    # Of the cluster, not of the environment: the registry comes into being with the first cluster. `depends_on` would wait for
    # it as well, but then every later change of the cluster made the registry's id unknown and wanted schemas replaced.
    id = one(local.cluster.environment).id
  }
}
