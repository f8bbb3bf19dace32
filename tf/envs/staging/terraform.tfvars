# Whatever ends in .example is to be replaced by yours.
cloud  = "AWS"
region = "eu-central-1"

issuer = {
  url      = "https://login.grocery.example/staging"
  jwks_uri = "https://login.grocery.example/staging/keys"
  audience = "confluent"
}

token = {
  url   = "https://login.grocery.example/staging/token"
  scope = "kafka"
}
