# As production in everything that can go wrong, at the price of a Standard cluster.

module "grocery" {
  source = "../../modules/grocery"

  name       = "grocery-staging"
  governance = "ADVANCED"
  cluster = {
    kind         = "standard"
    availability = "MULTI_ZONE"
    cloud        = var.cloud
    region       = var.region
  }
  protected = true

  issuer     = var.issuer
  token      = var.token
  federation = var.federation
}
