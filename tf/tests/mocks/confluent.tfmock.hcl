# What Confluent Cloud would answer, in the shapes that the provider checks. Used while planning too, so that names made of them
# can be asserted without an apply: an apply would have to be taken down again, which prevent_destroy forbids.

mock_resource "confluent_environment" {
  override_during = plan
  defaults = {
    id            = "env-1"
    resource_name = "crn://confluent.cloud/organization=o-1/environment=env-1"
  }
}

mock_resource "confluent_kafka_cluster" {
  override_during = plan
  defaults = {
    id                 = "lkc-1"
    rbac_crn           = "crn://confluent.cloud/organization=o-1/environment=env-1/cloud-cluster=lkc-1"
    bootstrap_endpoint = "SASL_SSL://pkc-1.eu-central-1.aws.confluent.example:9092"
    rest_endpoint      = "https://pkc-1.eu-central-1.aws.confluent.example:443"
  }
}

mock_data "confluent_schema_registry_cluster" {
  defaults = {
    id            = "lsrc-1"
    rest_endpoint = "https://psrc-1.eu-central-1.aws.confluent.example"
    resource_name = "crn://confluent.cloud/organization=o-1/environment=env-1/schema-registry=lsrc-1"
  }
}

mock_resource "confluent_identity_provider" {
  override_during = plan
  defaults        = { id = "op-1", identity_claim = "claims.sub" }
}

override_resource {
  target          = module.grocery.module.identity.confluent_identity_pool.service["order-producer"]
  override_during = plan
  values          = { id = "pool-of-order-producer" }
}

override_resource {
  target          = module.grocery.module.identity.confluent_identity_pool.service["fulfillment-service"]
  override_during = plan
  values          = { id = "pool-of-fulfillment-service" }
}

override_resource {
  target          = module.grocery.module.identity.confluent_identity_pool.service["picklist-consumer"]
  override_during = plan
  values          = { id = "pool-of-picklist-consumer" }
}

override_resource {
  target          = module.grocery.module.identity.confluent_identity_pool.service["operator"]
  override_during = plan
  values          = { id = "pool-of-operator" }
}
