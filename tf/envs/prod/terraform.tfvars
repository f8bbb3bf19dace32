# Whatever ends in .example is to be replaced by yours.
cloud  = "AWS"
region = "eu-central-1"

issuer = {
  url      = "https://login.grocery.example/prod"
  jwks_uri = "https://login.grocery.example/prod/keys"
  audience = "confluent"
}

token = {
  url   = "https://login.grocery.example/prod/token"
  scope = "kafka"
}
