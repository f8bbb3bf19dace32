# For trying things out: one zone, and nothing that keeps it from being taken down.

module "grocery" {
  source = "../../modules/grocery"

  name       = "grocery-dev"
  governance = "ESSENTIALS"
  cluster = {
    kind         = "standard"
    availability = "SINGLE_ZONE"
    cloud        = var.cloud
    region       = var.region
  }
  protected = false

  issuer     = var.issuer
  token      = var.token
  federation = var.federation
}
