output "environment" {
  description = "The environment's id and resource name."
  value = {
    id            = confluent_environment.this.id
    resource_name = confluent_environment.this.resource_name
  }
}

output "cluster" {
  description = "Where the cluster is and what it is called."
  value = {
    id                  = local.cluster.id
    kind                = var.cluster.kind
    rbac_crn            = local.cluster.rbac_crn
    rest_endpoint       = local.cluster.rest_endpoint
    bootstrap_endpoint  = local.cluster.bootstrap_endpoint
    availability        = local.cluster.availability
    deletion_protection = local.cluster.deletion_protection
  }
}

output "registry" {
  description = "Where the Schema Registry is and what it is called."
  value = {
    id            = data.confluent_schema_registry_cluster.this.id
    rest_endpoint = data.confluent_schema_registry_cluster.this.rest_endpoint
    resource_name = data.confluent_schema_registry_cluster.this.resource_name
  }
}
