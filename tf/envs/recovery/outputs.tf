output "client_properties" {
  description = "The text of each service's client.properties for this region; scripts/client-properties writes the files."
  value       = module.recovery.client_properties
}

output "bindings" {
  description = "What each pool was given: role and resource."
  value       = module.recovery.bindings
}

output "place" {
  description = "Environment, cluster, registry and the link's account."
  value       = module.recovery.place
}
