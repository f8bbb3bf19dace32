# Whatever ends in .example is to be replaced by yours.
cloud  = "AWS"
region = "eu-central-1"

issuer = {
  url      = "https://login.grocery.example/dev"
  jwks_uri = "https://login.grocery.example/dev/keys"
  audience = "confluent"
}

token = {
  url   = "https://login.grocery.example/dev/token"
  scope = "kafka"
}
