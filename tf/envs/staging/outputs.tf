# The same in dev, staging and prod, which scripts/check-terraform makes sure of.

output "client_properties" {
  description = "The text of each service's client.properties; scripts/client-properties writes the files."
  value       = module.grocery.client_properties
}

output "pool_ids" {
  description = "The id of each service's identity pool."
  value       = module.grocery.pool_ids
}

output "bindings" {
  description = "What each pool was given: role and resource."
  value       = module.grocery.bindings
}

output "schemas" {
  description = "The newest version of each subject's schema."
  value       = module.grocery.schemas
}

output "automation" {
  description = "The principals of the build server's jobs."
  value       = module.grocery.automation
}

output "build_properties" {
  description = "The text of the client.properties of each of the build server's jobs that has an identity pool; the job adds its token."
  value       = module.grocery.build_properties
}

output "place" {
  description = "Environment, cluster and registry: what envs/recovery and the CLI want to know."
  value = {
    environment = module.grocery.environment
    cluster     = module.grocery.cluster
    registry    = module.grocery.registry
  }
}
