output "environment" {
  description = "The environment's id and resource name."
  value       = module.cluster.environment
}

output "cluster" {
  description = "Where the cluster is and what it is called."
  value       = module.cluster.cluster
}

output "registry" {
  description = "Where the Schema Registry is and what it is called."
  value       = module.cluster.registry
}

output "pool_ids" {
  description = "The id of each service's identity pool."
  value       = module.identity.pool_ids
}

output "bindings" {
  description = "What each pool was given: role and resource."
  value       = module.access.bindings
}

output "schemas" {
  description = "The newest version of each subject's schema."
  value       = module.pipeline.schemas
}

output "automation" {
  description = "The principals of the build server's jobs."
  value       = module.automation.principals
}

output "build_properties" {
  description = "The text of the client.properties of each of the build server's jobs that has an identity pool; the job adds its token."
  value       = module.client.build_properties
}

output "client_properties" {
  description = "The text of each service's client.properties; no secret is in it."
  value       = module.client.client_properties
}
