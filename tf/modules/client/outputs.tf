output "client_properties" {
  description = "The text of each service's client.properties, by the name of its identity pool."
  value       = local.texts
}
