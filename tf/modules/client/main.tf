# What a service has to be told: a client.properties in the names that Confluent's own clients use. Pure, without a provider.

locals {
  texts = {
    for pool, principal in var.principals : pool => join("", [
      for line in split("\n", templatefile("${path.module}/client.properties.tftpl", {
        name         = var.name
        client       = principal
        pool         = var.pool_ids[pool]
        bootstrap    = trimprefix(var.cluster.bootstrap_endpoint, "SASL_SSL://")
        cluster      = var.cluster.id
        registry     = var.registry.id
        registry_url = var.registry.rest_endpoint
        token_url    = var.token.url
        scope        = var.token.scope
      })) : "${line}\n"
      # An issuer without scopes gets none.
      if line != "" && !endswith(line, ".scope=")
    ])
  }
}
