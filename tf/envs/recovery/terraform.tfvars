# Whatever ends in .example, and the ids, are to be replaced by yours: `terraform -chdir=../prod output place`, and `pool_ids`.
cloud  = "AWS"
region = "eu-west-1"

primary = {
  cluster = {
    id                 = "lkc-prod0"
    kind               = "dedicated"
    rbac_crn           = "crn://confluent.cloud/organization=o/environment=env-prod0/cloud-cluster=lkc-prod0"
    rest_endpoint      = "https://pkc-prod0.eu-central-1.aws.confluent.example:443"
    bootstrap_endpoint = "SASL_SSL://pkc-prod0.eu-central-1.aws.confluent.example:9092"
  }
  registry = {
    id            = "lsrc-prod0"
    rest_endpoint = "https://psrc-prod0.eu-central-1.aws.confluent.example"
  }
}

pool_ids = {
  order-producer      = "pool-prod1"
  fulfillment-service = "pool-prod2"
  picklist-consumer   = "pool-prod3"
  operator            = "pool-prod4"
}

token = {
  url   = "https://login.grocery.example/prod/token"
  scope = "kafka"
}
