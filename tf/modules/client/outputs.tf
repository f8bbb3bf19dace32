output "client_properties" {
  description = "The text of each service's client.properties, by the name of its identity pool."
  value       = { for pool in keys(var.principals) : pool => local.texts["service/${pool}"] }
}

output "build_properties" {
  description = "The text of the client.properties of each of the build server's jobs, without a login: the job has its token."
  value       = { for duty in keys(var.builders) : duty => local.texts["build/${duty}"] }
}
