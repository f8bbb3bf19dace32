output "client_properties" {
  description = "The text of each service's client.properties for the recovery cluster."
  value       = module.client.client_properties
}

output "bindings" {
  description = "What each pool was given on the recovery cluster: as in the first region."
  value       = module.access.bindings
}

output "place" {
  description = "Environment, cluster and registry of the recovery region, and the link's account that wants keys."
  value = {
    environment  = module.cluster.environment
    cluster      = module.cluster.cluster
    registry     = module.cluster.registry
    link_account = confluent_service_account.link.id
  }
}
